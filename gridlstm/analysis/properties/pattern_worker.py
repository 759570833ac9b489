"""The program of a process that marks the matches of patterns: `pattern_process` starts it.

It reads requests from standard input and answers on standard output until the one is closed. A
request is a line of JSON (`pattern`, `seconds`, `memory`, `bytes`) and the text in UTF-8, of that
many bytes. An answer is a line of JSON (`fault`: None, "pattern" with a `reason`, "time" or
"memory"; `again`: whether it may be asked again; `characters`) and, where there is no fault, a byte
for each of the text's characters, 1 in a match.

It imports little, so that it starts in some hundredths of a second.
"""

import json
import os
import sys

import regex

# A process that holds more gives it back by ending.
KEPT_MEMORY = 64 * 2**20


def main() -> None:
    requests, answers = sys.stdin.buffer, sys.stdout.buffer
    while line := requests.readline():
        request = json.loads(line)
        bound_memory(request["memory"])
        marks = b""
        answer: dict[str, str | int | None]
        try:
            characters = requests.read(request["bytes"]).decode(errors="surrogatepass")
            marks = marked(request["pattern"], characters, request["seconds"])
            answer = {"fault": None}
        except regex.error as error:
            # Its stubs do not know these two.
            position, message = getattr(error, "pos", None), getattr(error, "msg", "")
            where = "" if position is None else f" (at its character {position + 1})"
            answer = {"fault": "pattern", "reason": f"{message}{where}"}
        except RecursionError:
            answer = {"fault": "pattern", "reason": "it is nested too deeply"}
        except TimeoutError:
            answer = {"fault": "time"}
        except MemoryError:
            answer = {"fault": "memory"}
        except Exception as error:  # a fault of the package
            answer = {"fault": "pattern", "reason": type(error).__name__}
        answer["characters"] = len(marks)
        answer["again"] = answer["fault"] != "memory" and memory_held() < KEPT_MEMORY
        answers.write(json.dumps(answer).encode() + b"\n" + marks)
        answers.flush()
        if not answer["again"]:
            return


def marked(pattern: str, characters: str, seconds: float) -> bytes:
    """1 for each character in a match and 0 for the others. The `seconds` are of processor time,
    which is that of this one thread: what else the machine does takes nothing off them."""
    marks = bytearray(len(characters))
    compiled = regex.compile(pattern, regex.MULTILINE)
    for match in compiled.finditer(characters, timeout=seconds):
        start, end = match.span()
        marks[start:end] = b"\1" * (end - start)
    return bytes(marks)


def bound_memory(limit: int) -> None:
    """Let this process have no more than so many bytes, on systems that can."""
    try:
        import resource

        _, most = resource.getrlimit(resource.RLIMIT_AS)
        bounded = limit if most == resource.RLIM_INFINITY else min(limit, most)
        resource.setrlimit(resource.RLIMIT_AS, (bounded, most))
    except (ImportError, OSError, ValueError):
        pass  # Windows has no such limit, and macOS may refuse it: the time is bounded there


def memory_held() -> int:
    """The bytes that this process holds now, 0 where it is not told."""
    try:
        with open("/proc/self/statm") as told:
            return int(told.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0


if __name__ == "__main__":
    main()
