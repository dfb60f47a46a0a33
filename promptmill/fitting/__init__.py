"""What `promptmill fit` answers: how much memory a model needs, which GPUs hold it, and what to type.

    model    a model as its config and headers describe it; nothing is downloaded but these
    sources  where they come from: a folder, the Hub, the demo model
    pools    the GPUs that are asked about: of this machine, of the cluster, from the table
    memory   bytes by dtype and quantization
    advice   what to type, or the next smaller thing to do
    speed    hours, from prompts and tokens/s
    report   all of it, as values that go to JSON
    showing  the same for people

No torch and no transformers, so that it answers at once; the arithmetic is that of `promptmill.placing`.
"""
