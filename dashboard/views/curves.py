import streamlit as st
st.title("Curves")
