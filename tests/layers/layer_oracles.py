"""The layers that are not recurrent in float64, written from their formulas with plain loops."""

from __future__ import annotations

import math

import numpy as np


def softmax(scores):
    """Over the last axis."""
    powers = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True)


def ends(length, width, stride, dilation, padding):
    """Number of outputs, and the position of the first window."""
    span = (width - 1) * dilation + 1
    if padding == "valid":
        return max((length - span) // stride + 1, 0), 0
    count = math.ceil(length / stride)
    if padding == "causal":
        return count, 1 - span
    return count, -(max((count - 1) * stride + span - length, 0) // 2)


def conv1d(x, kernel, stride=1, dilation=1, padding="valid", groups=1):
    """x (batch, time, channels), kernel (taps, channels / groups, filters)."""
    width, within, filters = kernel.shape
    count, first = ends(x.shape[1], width, stride, dilation, padding)
    y = np.zeros((x.shape[0], count, filters))
    for out in range(count):
        for tap in range(width):
            at = first + out * stride + tap * dilation
            if 0 <= at < x.shape[1]:
                for one in range(filters):
                    group = one // (filters // groups)
                    part = x[:, at, group * within : (group + 1) * within]
                    y[:, out, one] += part @ kernel[tap, :, one]
    return y


def depthwise(x, kernel, stride=1, dilation=1, padding="valid"):
    """x (batch, time, channels), kernel (taps, channels, multiplier)."""
    width, channels, multiplier = kernel.shape
    count, first = ends(x.shape[1], width, stride, dilation, padding)
    y = np.zeros((x.shape[0], count, channels, multiplier))
    for out in range(count):
        for tap in range(width):
            at = first + out * stride + tap * dilation
            if 0 <= at < x.shape[1]:
                y[:, out] += x[:, at, :, None] * kernel[tap]
    return y.reshape(*y.shape[:2], channels * multiplier)


def conv1d_transpose(x, kernel, stride, dilation, same):
    """x (batch, time, channels), kernel (taps, filters, channels): what has `conv1d` with it as gradient."""
    width, filters, _ = kernel.shape
    span = (width - 1) * dilation + 1
    length = x.shape[1] * stride + (0 if same else max(span - stride, 0))
    first = -(max((x.shape[1] - 1) * stride + span - length, 0) // 2) if same else 0
    y = np.zeros((x.shape[0], length, filters))
    for step in range(x.shape[1]):
        for tap in range(width):
            at = first + step * stride + tap * dilation
            if 0 <= at < length:
                y[:, at] += x[:, step] @ kernel[tap].T
    return y


def pool(x, function, width, stride, padding):
    """A function over the timesteps of each window that lie within the inputs."""
    count, first = ends(x.shape[1], width, stride, 1, padding)
    parts = [x[:, max(first + n * stride, 0) : first + n * stride + width] for n in range(count)]
    return np.stack([function(part, axis=1) for part in parts], axis=1)


def normalized(x, axes, epsilon):
    """Mean 0 and variance 1 along the axes."""
    mean = x.mean(axis=axes, keepdims=True)
    variance = ((x - mean) ** 2).mean(axis=axes, keepdims=True)
    return (x - mean) / np.sqrt(variance + epsilon)


def attention(query, value, key, value_mask=None, causal=False):
    """Dot-product attention of one sample each; masked values do not take part at all."""
    results = np.zeros((*query.shape[:2], value.shape[-1]))
    for b in range(query.shape[0]):
        for q in range(query.shape[1]):
            seen = [
                v
                for v in range(value.shape[1])
                if (value_mask is None or value_mask[b, v]) and (not causal or v <= q)
            ]
            weights = softmax(np.array([query[b, q] @ key[b, v] for v in seen]))
            results[b, q] = sum(w * value[b, v] for w, v in zip(weights, seen, strict=True))
    return results


def multi_head(query, value, weights, value_mask=None, causal=False):
    """Multi-head attention with the weights of Keras, head by head."""
    qk, qb, kk, kb, vk, vb, ok, ob = weights
    total = np.zeros((*query.shape[:2], ok.shape[-1]))
    for head in range(qk.shape[1]):
        q = (query @ qk[:, head] + qb[head]) / math.sqrt(qk.shape[2])
        k, v = value @ kk[:, head] + kb[head], value @ vk[:, head] + vb[head]
        total += attention(q, v, k, value_mask, causal) @ ok[head]
    return total + ob
