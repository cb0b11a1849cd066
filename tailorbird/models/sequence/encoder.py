"""The sequence network: a causal transformer over events whose item tower adds content to the id embedding."""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F  # noqa: N812 - the field's name for it
from torch import Tensor, nn

GAP_BUCKETS = 32
STRENGTH_BUCKETS = 8


@dataclass(frozen=True)
class EncoderShape:
    """What fixes the network's arrays."""

    items: int
    content: int
    dimensions: int
    blocks: int
    heads: int
    history: int


class SequenceEncoder(nn.Module):
    """History ▸ query of the next item (SASRec, Kang & McAuley 2018, with relative positions and time gaps).

    Positions enter as a learned bias by distance, initialised to a power law: the nearer event counts more. Each event
    carries the gap to the event after it (for the last one: to the instant of asking), so the network knows whether
    it continues a session or opens one.
    """

    def __init__(self, shape: EncoderShape, *, dropout: float = 0.0) -> None:
        super().__init__()
        self.shape = shape
        d = shape.dimensions
        self.ids = nn.Parameter(torch.randn(shape.items, d) * 0.02)
        self.project = nn.Parameter(torch.randn(shape.content, d) * 0.02)
        self.gaps = nn.Parameter(torch.zeros(GAP_BUCKETS, d))
        self.strengths = nn.Parameter(torch.zeros(STRENGTH_BUCKETS, d))
        self.blocks = nn.ModuleList(Block(shape, dropout=dropout) for _ in range(shape.blocks))
        self.norm = RMSNorm(d)
        self.dropout = nn.Dropout(dropout)

    def item_vectors(self, content: Tensor, *, hidden_ids: Tensor | None = None) -> Tensor:
        """(n_items, d): id embedding plus projected content; ids where ``hidden_ids`` is True are left out."""
        ids = self.ids if hidden_ids is None else self.ids * (~hidden_ids)[:, None]
        return ids + content @ self.project

    def forward(self, items: Tensor, gaps: Tensor, strengths: Tensor, vectors: Tensor) -> Tensor:
        """(b, l) rows of ``vectors`` (m, d), m for padding, gap and strength buckets ▸ (b, l, d) queries."""
        padded = F.pad(vectors, (0, 0, 0, 1))  # one zero row for padding
        x = F.embedding(items, padded) * math.sqrt(self.shape.dimensions)
        x = self.dropout(x + F.embedding(gaps, self.gaps) + F.embedding(strengths, self.strengths))
        blocked = self._blocked(items == len(vectors))
        for block in self.blocks:
            x = block(x, blocked)
        return self.norm(x)

    def _blocked(self, padding: Tensor) -> Tensor:
        """(b, 1, l, l) True where a query may not look: later events and padding; an event always sees itself."""
        length = padding.shape[1]
        later = torch.ones(length, length, dtype=torch.bool, device=padding.device).triu(1)
        itself = torch.eye(length, dtype=torch.bool, device=padding.device)
        return (later | padding[:, None, :]).logical_and(~itself)[:, None]


class Block(nn.Module):
    """Attention with a bias by distance, then a feed-forward layer; normalised before, added after."""

    def __init__(self, shape: EncoderShape, *, dropout: float) -> None:
        super().__init__()
        d = shape.dimensions
        self.heads = shape.heads
        self.norm_attention, self.norm_forward = RMSNorm(d), RMSNorm(d)
        self.query_key_value = nn.Linear(d, 3 * d, bias=False)
        self.merge = nn.Linear(d, d, bias=False)
        self.up, self.down = nn.Linear(d, 4 * d), nn.Linear(4 * d, d)
        slopes = torch.linspace(1.5, 0.25, shape.heads)[:, None]
        self.bias = nn.Parameter(-slopes * torch.log1p(torch.arange(shape.history, dtype=torch.float32)))
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, blocked: Tensor) -> Tensor:
        """(b, l, d) ▸ (b, l, d)."""
        b, length, d = x.shape
        q, k, v = (
            self.query_key_value(self.norm_attention(x))
            .view(b, length, 3, self.heads, d // self.heads)
            .permute(2, 0, 3, 1, 4)
        )
        position = torch.arange(length, device=x.device)
        distance = (position[:, None] - position[None, :]).clamp_min(0)
        logits = q @ k.transpose(-1, -2) / math.sqrt(d // self.heads) + self.bias[:, distance]  # (b, h, l, l)
        weights = self.dropout(logits.masked_fill(blocked, -1e9).softmax(-1))
        x = x + self.dropout(self.merge((weights @ v).transpose(1, 2).reshape(b, length, d)))
        return x + self.dropout(self.down(F.relu(self.up(self.norm_forward(x)))))


class RMSNorm(nn.Module):
    """Divide by the root mean square (Zhang & Sennrich, 2019)."""

    def __init__(self, dimensions: int) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.ones(dimensions))

    def forward(self, x: Tensor) -> Tensor:
        """(…, d) ▸ (…, d)."""
        return x * torch.rsqrt(x.square().mean(-1, keepdim=True) + 1e-6) * self.gain


def softmax_loss(
    queries: Tensor, vectors: Tensor, targets: Tensor, *, offsets: Tensor | None = None
) -> Tensor:
    """Mean cross-entropy of ``targets`` (t,) under ``queries`` (t, d) @ ``vectors`` (m, d).T + ``offsets`` (m,)."""
    loss: Tensor = _SoftmaxLoss.apply(queries, vectors, targets, offsets)
    return loss


class _SoftmaxLoss(torch.autograd.Function):
    """Cross-entropy that never holds all logits: chunk by chunk, the gradient taken on the way.

    Three times faster on a processor than logits plus ``cross_entropy``; the products run in bfloat16 where the
    processor has it (docs/experiments.md).
    """

    CHUNK = 512

    @staticmethod
    def forward(ctx, queries, vectors, targets, offsets):  # type: ignore[no-untyped-def]
        """Loss and both gradients."""
        low = torch.bfloat16 if _fast_bfloat16(queries) else torch.float32
        q_low, v_low = queries.detach().to(low), vectors.detach().to(low)
        d_queries, d_vectors = torch.empty_like(queries), torch.zeros_like(vectors)
        total, count = queries.new_zeros(()), len(queries)
        for start in range(0, count, _SoftmaxLoss.CHUNK):
            q, wanted = q_low[start : start + _SoftmaxLoss.CHUNK], targets[start : start + _SoftmaxLoss.CHUNK]
            logits = (q @ v_low.T).float()  # (chunk, m)
            if offsets is not None:
                logits += offsets
            logits -= logits.amax(1, keepdim=True)
            hit = logits.gather(1, wanted[:, None])
            mass = logits.exp_().sum(1, keepdim=True)
            total += (mass.log() - hit).sum()
            logits /= mass * count
            logits.scatter_add_(1, wanted[:, None], torch.full_like(hit, -1.0 / count))
            gradient = logits.to(low)
            d_queries[start : start + _SoftmaxLoss.CHUNK] = gradient @ v_low
            d_vectors += gradient.T @ q
        ctx.save_for_backward(d_queries, d_vectors)
        return total / count

    @staticmethod
    def backward(ctx, gradient):  # type: ignore[no-untyped-def]
        """Scale what forward found."""
        d_queries, d_vectors = ctx.saved_tensors
        return gradient * d_queries, gradient * d_vectors, None, None


def _fast_bfloat16(tensor: Tensor) -> bool:
    return tensor.is_cuda or bool(torch.cpu.get_capabilities().get("avx512_bf16"))
