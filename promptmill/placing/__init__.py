"""Deciding where a model goes before anything is loaded, and keeping it small enough to go there.

    memory      the formula: bytes of weights, KV cache, activations, logits, CUDA context
    shape       what the formula needs to know of a model, from its config
    checkpoint  what a folder holds: plain weights, weights that come quantised, a GGUF file
    decide      the decision: dtype, quantization, placement, batch size
    refusal     why nothing fits, and the nearest ways out
    split       one copy over several devices, by accelerate on the meta device
    gpus        which of a machine's GPUs a process takes
    stored      quantised weights, kept on disk
    fit         how many GPUs of each type a model takes
    calibrate   what was decided, tried and measured

Only `shape`, `split`, `torch_build` and `calibrate` need torch, and import it inside functions.
"""
