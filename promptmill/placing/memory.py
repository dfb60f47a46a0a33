"""The formula: how many bytes a model needs to generate, before anything is loaded.

    weights       parameters × bytes of the dtype; quantised matrices take less (below)
    KV cache      rows × positions × layers × 2 × KV heads × head size × bytes
    activations   tokens of one pass × (4 × hidden + the width of the MLP) × bytes
    logits        rows × vocabulary × (bytes + 12)
    CUDA context  500 MiB a GPU and process

Plain arithmetic on integers; no torch. `docs/memory.md` explains it with an example, and the tests hold
it against what PyTorch allocates.
"""

from __future__ import annotations

from dataclasses import dataclass

MIB = 1 << 20
GIB = 1 << 30
DTYPE_BYTES = {"float32": 4, "float16": 2, "bfloat16": 2}
CONTEXT_BYTES = 500 * MIB
"""Driver, kernels and cuBLAS workspaces of a process on a GPU. With lazy loading (CUDA 11.7 and later)
pytorch's maintainers name 300 MB (pytorch/pytorch issue 107667) to 400 MB (109888) after the first kernel."""
PREFILL_TOKENS = 2048
"""Tokens of one pass over prompts, as the engine cuts them (`promptmill.engine.policy`)."""
USABLE_SHARE = 0.95
"""Of the free memory; the rest is what fragmentation costs even with expandable segments."""
NF4_BYTES = 0.5 + 1 / 64 + 4 / (64 * 256)
"""A value in NF4: half a byte; per block of 64 a scale of one byte; per 256 scales a float32
(double quantisation; Dettmers et al. 2023, section 3)."""
NF4_TABLES = 4 * (16 + 256 + 1)
"""Of each 4-bit matrix: the code books of values and of scales, and an offset."""
LOGIT_COPIES = 12
"""Bytes a logit takes beside itself while a token is drawn: three float32 copies (`promptmill.engine.sampler`)."""


@dataclass(frozen=True)
class ModelShape:
    """What the formula needs to know of a model.

    Attributes:
        parameters: all, those that are tied counted once.
        matrices: of them those in linear layers that bitsandbytes quantises; embeddings, norms,
            the output layer, and experts that are fused into one tensor are not among them.
        matrix_rows: output features of these layers, summed.
        matrix_count: how many layers these are.
        largest_matrix: parameters of the largest of them.
        buffer_bytes: rotary frequencies, an adapter, and the like, which no dtype changes.
        layers: that have a KV cache over all positions.
        window_layers: that look back no further than `window`.
        kv_values: keys and values that one position adds in one layer.
        activation_values: most values that one token has at a time in a forward pass.
        score_heads: attention heads whose scores are written out; 0 with fused attention.
        context: positions that the model has; None where no limit is named.
        stored_bytes: of a checkpoint that comes quantised, what its files hold; else None.
    """

    model_type: str
    parameters: int
    matrices: int
    matrix_rows: int
    matrix_count: int
    largest_matrix: int
    buffer_bytes: int
    layers: int
    window_layers: int
    window: int | None
    kv_values: int
    activation_values: int
    score_heads: int
    vocabulary: int
    context: int | None
    stored_bytes: int | None = None

    @property
    def quantizable(self) -> float:
        """Share of the parameters that bitsandbytes would quantise."""
        return self.matrices / max(1, self.parameters)


@dataclass(frozen=True)
class Workload:
    """What rows come to need.

    Attributes:
        prompt_tokens: of all but a few prompts; a batch is planned for these.
        new_tokens: most that are generated.
        longest_prompt: of the longest prompt; one row of it has to fit as well. 0: like the others.
    """

    prompt_tokens: int
    new_tokens: int
    longest_prompt: int = 0

    @property
    def positions(self) -> int:
        """Of all but a few rows."""
        return self.prompt_tokens + self.new_tokens

    @property
    def longest(self) -> Workload:
        """The longest row as if all were like it."""
        return Workload(max(self.prompt_tokens, self.longest_prompt), self.new_tokens)

    def within(self, context: int | None) -> Workload:
        """The same, cut to what the model can take at all."""
        if context is None:
            return self
        prompt, longest = (max(1, min(size, context - 1)) for size in (self.prompt_tokens, self.longest.prompt_tokens))
        return Workload(prompt, min(self.new_tokens, context - prompt), longest)


@dataclass(frozen=True)
class MemoryEstimate:
    """Bytes on one device, part by part.

    Attributes:
        working: the larger of activations with the prompts' own keys and values, and logits: they
            are never there at the same time.
    """

    weights: int
    kv_cache: int
    working: int
    context: int

    @property
    def total(self) -> int:
        """All of it."""
        return self.weights + self.kv_cache + self.working + self.context


def packing(quantization: str) -> str:
    """How many bits a matrix's values take: `4bit`, `8bit`, or `none` for those of the dtype."""
    return next((bits for bits in ("4bit", "8bit") if quantization.endswith(bits)), "none")


def weight_bytes(shape: ModelShape, dtype: str, quantization: str) -> int:
    """Bytes of the loaded weights and buffers."""
    if shape.stored_bytes is not None:
        return shape.stored_bytes + shape.buffer_bytes
    plain = (shape.parameters - shape.matrices) * DTYPE_BYTES[dtype] + shape.buffer_bytes
    if packing(quantization) == "none":  # the values of a GGUF file as well: they are unpacked
        return plain + shape.matrices * DTYPE_BYTES[dtype]
    if packing(quantization) == "8bit":
        return plain + shape.matrices + 4 * shape.matrix_rows  # one float32 scale an output feature
    return plain + int(shape.matrices * NF4_BYTES) + NF4_TABLES * shape.matrix_count


def kv_bytes(shape: ModelShape, dtype: str, positions: int, *, windowed: bool = False) -> int:
    """Bytes of the KV cache of one row.

    Args:
        windowed: whether layers with a sliding window forget what lies before it; the engine's
            slots keep all positions, the cache of transformers does not.
    """
    seen = min(positions, shape.window) if windowed and shape.window else positions
    values = shape.kv_values * (shape.layers * positions + shape.window_layers * seen)
    return values * DTYPE_BYTES[dtype]


def cache_bytes(shape: ModelShape, dtype: str, *, rows: int, workload: Workload) -> int:
    """Bytes of the KV cache of so many rows, or of the longest one if that is more."""
    all_rows = rows * kv_bytes(shape, dtype, workload.positions)
    return max(all_rows, kv_bytes(shape, dtype, workload.longest.positions))


def working_bytes(shape: ModelShape, dtype: str, quantization: str, *, rows: int, workload: Workload) -> int:
    """Bytes that come and go: a pass over prompts, or a step of all rows with the choice of tokens."""
    size = DTYPE_BYTES[dtype]
    unpacked = shape.largest_matrix * size if packing(quantization) == "4bit" else 0
    longest = _prefill(shape, size, 1, workload.longest)
    return unpacked + max(longest, _prefill(shape, size, rows, workload), _step(shape, size, rows, workload))


def estimate(
    shape: ModelShape, dtype: str, quantization: str, *, rows: int, workload: Workload, gpu: bool
) -> MemoryEstimate:
    """Bytes that `rows` rows at a time need on one device that holds the whole model."""
    return MemoryEstimate(
        weights=weight_bytes(shape, dtype, quantization),
        kv_cache=cache_bytes(shape, dtype, rows=rows, workload=workload),
        working=working_bytes(shape, dtype, quantization, rows=rows, workload=workload),
        context=CONTEXT_BYTES if gpu else 0,
    )


def _prefill(shape: ModelShape, size: int, rows: int, workload: Workload) -> int:
    tokens = min(PREFILL_TOKENS, rows * workload.prompt_tokens)
    own = shape.kv_values * (shape.layers + shape.window_layers)  # computed beside the slots, then moved in
    scores = 4 * shape.score_heads * workload.prompt_tokens
    return tokens * (shape.activation_values + own + scores) * size


def _step(shape: ModelShape, size: int, rows: int, workload: Workload) -> int:
    scores = 4 * shape.score_heads * workload.positions
    logits = shape.vocabulary * (size + LOGIT_COPIES)
    return rows * (logits + (shape.activation_values + scores) * size)
