"""Deciding where a model goes before anything is loaded, and keeping it small enough to go there.

    memory      the formula: bytes of weights, KV cache, activations, logits, CUDA context
    weights     what the formula needs to know of a model, from the names and shapes of its tensors
    shape       these from transformers, on the meta device: exact for any model that can be loaded
    text_config, architectures, stored_weights, gguf_header
                these without torch: from a config, and from headers where there are any
    checkpoint  what a folder holds: plain weights, weights that come quantised, a GGUF file
    decide      the decision: dtype, quantization, placement, batch size
    refusal     why nothing fits, and the nearest ways out
    split       one copy over several devices, by accelerate on the meta device
    plain_split the same without torch, from names and sizes
    gpu_types   the table of GPU types; gpu_names finds one by any of its names
    gpus        which of a machine's GPUs a process takes
    stored      quantised weights, kept on disk
    place       all of it for one model: decided, then loaded
    fit         whether GPUs hold a model, and how many it takes
    calibrate   what was decided, tried and measured

Only `shape`, `split`, `torch_build` and `calibrate` need torch, and import it inside functions.
"""
