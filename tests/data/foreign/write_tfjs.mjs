// Writes the folders tfjs-*: `node write_tfjs.mjs` where @tensorflow/tfjs is installed.
import * as fs from "node:fs";
import * as path from "node:path";
import * as tf from "@tensorflow/tfjs";

const FOLDER = process.argv[2] ?? ".";
const INDICES = [3, 1, 4, 1, 5, 0, 2, 6, 5, 3, 5, 0];
const TOKENS = 7;
const models = {};

function randomise(model, seed) {
  model.setWeights(
    model.getWeights().map((weight, n) => tf.randomNormal(weight.shape, 0, 0.9, "float32", seed + n)),
  );
}

async function keep(name, model, shards = 1) {
  randomise(model, 10 * Object.keys(models).length + 1);
  await model.save({
    save: async (artifacts) => {
      const folder = path.join(FOLDER, name);
      fs.mkdirSync(folder, { recursive: true });
      const data = Buffer.from(artifacts.weightData);
      const size = Math.ceil(data.length / shards);
      const paths = [];
      for (let n = 0; n < shards; n++) {
        paths.push(`group1-shard${n + 1}of${shards}.bin`);
        fs.writeFileSync(path.join(folder, paths[n]), data.subarray(n * size, (n + 1) * size));
      }
      const written = {
        modelTopology: artifacts.modelTopology,
        format: artifacts.format,
        generatedBy: artifacts.generatedBy,
        weightsManifest: [{ paths, weights: artifacts.weightSpecs }],
      };
      fs.writeFileSync(path.join(folder, "model.json"), JSON.stringify(written));
      return {};
    },
  });
  const read = tf.tensor2d([INDICES], [1, INDICES.length], "float32");
  const input = model.inputs[0].shape.length === 3 ? tf.oneHot(tf.tensor2d([INDICES], undefined, "int32"), TOKENS) : read;
  models[`${name}/model.json`] = {
    indices: INDICES,
    probabilities: model.predict(input).arraySync()[0],
  };
}

function stack(cell, options, embedding = true) {
  const first = embedding
    ? [tf.layers.embedding({ inputDim: TOKENS, outputDim: 4, inputShape: [null] })]
    : [];
  const shape = embedding ? {} : { inputShape: [null, TOKENS] };
  return tf.sequential({
    layers: [
      ...first,
      cell({ units: 5, returnSequences: true, name: "zulu", ...shape, ...options }),
      cell({ units: 5, returnSequences: true, name: "alpha", ...options }),
      tf.layers.timeDistributed({ layer: tf.layers.dense({ units: TOKENS }) }),
      tf.layers.activation({ activation: "softmax" }),
    ],
  });
}

await tf.setBackend("cpu");
await keep("tfjs-lstm", stack(tf.layers.lstm, {}), 3);
await keep("tfjs-lstm-sigmoid", stack(tf.layers.lstm, { recurrentActivation: "sigmoid" }, false));
await keep("tfjs-gru", stack(tf.layers.gru, {}));
const text = JSON.stringify({ written_by: `tfjs-layers ${tf.version["tfjs-layers"]}`, models });
fs.writeFileSync(path.join(FOLDER, "tfjs.json"), text);
