"""Numbers and names that the GGUF format fixes: value types, tensor types, quantisations, architectures.

Constants only; no I/O. Source: ``gguf.h``, ``ggml.h``, ``llama.h`` and ``llama-arch.cpp`` of llama.cpp,
November 2026. A number missing here is one that a later llama.cpp added: callers warn, they do not fail.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import Final

STRING_TYPE: Final = 8
ARRAY_TYPE: Final = 9

# Metadata value type -> struct code of one little-endian value.
SCALAR_CODES: Final = MappingProxyType(
    {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
)

_CONVERT: Final = "use a GGUF conversion of the model"

# First bytes of things that people put where a model belongs -> what they are and what to do.
LOOKALIKES: Final = (
    (b"version https://git-lfs", "a Git LFS pointer", "run 'git lfs pull' where the file came from"),
    (b"<", "a web page, probably an error page saved as a model", "download the file again"),
    (b"PK\x03\x04", "a ZIP or PyTorch archive", _CONVERT),
    (b"ggml", "an old GGML file", _CONVERT),
    (b"lmgg", "an old GGML file", _CONVERT),
    (b"fmgg", "an old GGMF file", _CONVERT),
    (b"tjgg", "an old GGJT file", _CONVERT),
    (b"algg", "an old LoRA adapter (GGLA)", "name a whole model in GGUF form"),
    *((bytes((0x80, protocol)), "a Python pickle, as PyTorch saves weights", _CONVERT) for protocol in range(2, 6)),
    (b"\x89HDF", "an HDF5 file, as Keras saves weights", _CONVERT),
    (b"\x93NUMPY", "a NumPy array", _CONVERT),
    (b"\x1f\x8b", "a gzip archive", "unpack it, and name the .gguf file in it"),
    (b"\xfd7zXZ", "an xz archive", "unpack it, and name the .gguf file in it"),
    (b"\x28\xb5\x2f\xfd", "a zstd archive", "unpack it, and name the .gguf file in it"),
    (b"7z\xbc\xaf", "a 7z archive", "unpack it, and name the .gguf file in it"),
)
# After the eight bytes of its header's length, a safetensors file goes on with that header, which is JSON.
SAFETENSORS: Final = ("a safetensors file", _CONVERT)

# Tensor type -> (name, elements in a block, bytes of a block).
TENSOR_TYPES: Final = MappingProxyType(
    {
        0: ("F32", 1, 4),
        1: ("F16", 1, 2),
        2: ("Q4_0", 32, 18),
        3: ("Q4_1", 32, 20),
        6: ("Q5_0", 32, 22),
        7: ("Q5_1", 32, 24),
        8: ("Q8_0", 32, 34),
        9: ("Q8_1", 32, 40),
        10: ("Q2_K", 256, 84),
        11: ("Q3_K", 256, 110),
        12: ("Q4_K", 256, 144),
        13: ("Q5_K", 256, 176),
        14: ("Q6_K", 256, 210),
        15: ("Q8_K", 256, 292),
        16: ("IQ2_XXS", 256, 66),
        17: ("IQ2_XS", 256, 74),
        18: ("IQ3_XXS", 256, 98),
        19: ("IQ1_S", 256, 50),
        20: ("IQ4_NL", 32, 18),
        21: ("IQ3_S", 256, 110),
        22: ("IQ2_S", 256, 82),
        23: ("IQ4_XS", 256, 136),
        24: ("I8", 1, 1),
        25: ("I16", 1, 2),
        26: ("I32", 1, 4),
        27: ("I64", 1, 8),
        28: ("F64", 1, 8),
        29: ("IQ1_M", 256, 56),
        30: ("BF16", 1, 2),
        34: ("TQ1_0", 256, 54),
        35: ("TQ2_0", 256, 66),
        39: ("MXFP4", 32, 17),
        40: ("NVFP4", 64, 36),
        41: ("Q1_0", 128, 18),
        42: ("Q2_0", 64, 18),
    }
)

# general.file_type -> the name people know from file names.
FILE_TYPES: Final = MappingProxyType(
    {
        0: "F32",
        1: "F16",
        2: "Q4_0",
        3: "Q4_1",
        7: "Q8_0",
        8: "Q5_0",
        9: "Q5_1",
        10: "Q2_K",
        11: "Q3_K_S",
        12: "Q3_K_M",
        13: "Q3_K_L",
        14: "Q4_K_S",
        15: "Q4_K_M",
        16: "Q5_K_S",
        17: "Q5_K_M",
        18: "Q6_K",
        19: "IQ2_XXS",
        20: "IQ2_XS",
        21: "Q2_K_S",
        22: "IQ3_XS",
        23: "IQ3_XXS",
        24: "IQ1_S",
        25: "IQ4_NL",
        26: "IQ3_S",
        27: "IQ3_M",
        28: "IQ2_S",
        29: "IQ2_M",
        30: "IQ4_XS",
        31: "IQ1_M",
        32: "BF16",
        36: "TQ1_0",
        37: "TQ2_0",
        38: "MXFP4",
        39: "NVFP4",
        40: "Q1_0",
        41: "Q2_0",
    }
)

# Added to general.file_type when the converter guessed it.
GUESSED_FILE_TYPE: Final = 1024

POOLING_TYPES: Final = MappingProxyType({0: "none", 1: "mean", 2: "cls", 3: "last", 4: "rank"})

# Every n-th layer attends to all tokens, the others to a window; these architectures do not always
# write the pattern into the file, the engine has it built in.
SLIDING_WINDOW_PERIODS: Final = MappingProxyType(
    {"cohere2": 4, "gemma2": 2, "gemma3": 6, "gemma3n": 5, "gpt-oss": 2, "olmo2": 4}
)


def _list_names(text: str) -> frozenset[str]:
    return frozenset(text.split())


EMBEDDING_ARCHITECTURES: Final = _list_names(
    "bert eurobert gemma-embedding jina-bert-v2 jina-bert-v3 llama-embed modern-bert neo-bert nomic-bert nomic-bert-moe"
)

# They read all tokens at once and keep no cache between requests.
UNCACHED_ARCHITECTURES: Final = EMBEDDING_ARCHITECTURES - {"llama-embed"} | _list_names("dream llada llada-moe rnd1")

# Their layers keep a state of fixed size in place of, or beside, a KV cache.
RECURRENT_ARCHITECTURES: Final = _list_names(
    "arwkv7 bailingmoe3 deepseek4 falcon-h1 glm5-next granitehybrid jamba kimi-k3 kimi-linear lfm2 lfm2moe "
    "mamba mamba2 minimax-01 nemotron_h nemotron_h_moe plamo2 qwen35 qwen35moe qwen3next qwen4exp rwkv6 "
    "rwkv6qwen2 rwkv7"
)

# No token mixing but a state: the file's head counts mean nothing for a KV cache.
PURELY_RECURRENT_ARCHITECTURES: Final = _list_names("arwkv7 mamba mamba2 rwkv6 rwkv6qwen2 rwkv7")

# What the engine loads as a text model.
ARCHITECTURES: Final = (
    EMBEDDING_ARCHITECTURES
    | RECURRENT_ARCHITECTURES
    | _list_names(
        "afmoe apertus arcee arctic baichuan bailingmoe bailingmoe2 bitnet bloom chameleon chatglm codeshell "
        "cogvlm cohere2 cohere2moe command-r dbrx deci deepseek deepseek2 deepseek2-ocr deepseek32 dots1 "
        "dots3note dream ernie4_5 ernie4_5-moe exaone exaone-moe exaone4 falcon gemma gemma2 gemma3 gemma3n "
        "gemma4 glm-dsa glm4 glm4moe gpt-oss gpt2 gptj gptneox granite granitemoe graniteswitch granite_swa "
        "grok grovemoe hrm_text hunyuan-dense hunyuan-moe hunyuan_vl hy_v3 hy_v4 internlm2 jais jais2 laguna "
        "llada llada-moe llama llama4 maincoder maple mellum mimo2 minicpm minicpm3 minimax-m2 minimax-m3 "
        "mistral3 mistral4 mpt muse-glimmer nanbeige nemotron olmo olmo2 olmoe openelm orion paddleocr "
        "pangu-embedded phi2 phi3 phimoe plamo plamo3 plm qwen qwen2 qwen2moe qwen2vl qwen3 qwen3moe qwen3vl "
        "qwen3vlmoe refact rnd1 seed_oss smallthinker smollm3 spark2_5 stablelm starcoder starcoder2 step35 "
        "t5 t5encoder talkie xverse"
    )
)
