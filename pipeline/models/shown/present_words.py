"""Words as a language model reads them: windows of sub-tokens with a past and no future, one sample per word."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pipeline.core.errors import LayermapError
from pipeline.models.torch.hooked_network import Pass

if TYPE_CHECKING:
    import numpy as np
    import torch
    import xarray as xr
    from tokenizers import Tokenizer


class WordWindows:
    """One sample per word, at its offset: the state at its last sub-token.

    A text of up to ``window_tokens`` is read in one pass. A longer one is read in windows that advance by
    ``stride_tokens``; a window gives the words that none before it has, so that each has at least
    ``window_tokens − stride_tokens`` tokens of past (beyond the first window).

    Parameters
    ----------
    encode : a word, as it stands in running text → its sub-tokens
    start_token : stands before every window: language models park very large values on a text's first token,
        which must not be a word. None if the network knows no such token.

    Raises
    ------
    LayermapError
        Windows advance by more than they hold, so that words between them would be read by none.
    """

    def __init__(
        self,
        encode: Callable[[str], Sequence[int]],
        start_token: int | None,
        window_tokens: int,
        stride_tokens: int,
        argument: str = "input_ids",
    ) -> None:
        if stride_tokens > window_tokens:
            raise LayermapError(
                f"stride_tokens: {stride_tokens} is more than window_tokens: {window_tokens}; "
                f"give stride_tokens: {window_tokens // 2 or 1} as well"
            )
        self._encode = encode
        self._start = [] if start_token is None else [start_token]
        self._window = window_tokens
        self._stride = stride_tokens
        self._argument = argument

    def clock(self, stimulus: xr.Dataset) -> tuple[str, np.ndarray]:
        import numpy as np

        return "time", np.asarray(stimulus["offset_s"].values, dtype=np.float64)

    def tokenize(self, words: Sequence[str]) -> tuple[list[int], np.ndarray]:
        """Sub-tokens of a running text, each word with a space before it, and the index of each word's last one."""
        import numpy as np

        pieces = [list(self._encode(f" {word.strip()}")) for word in words]
        last = np.cumsum([len(piece) for piece in pieces]) - 1
        return [token for piece in pieces for token in piece], last

    def passes(self, stimulus: xr.Dataset, batch_size: int, first: int = 0) -> Iterator[Pass]:
        """A pass is up to ``batch_size`` windows of equal length."""
        import numpy as np

        tokens, last = self.tokenize([str(word) for word in stimulus["text"].values])
        batch: list[tuple[int, int, np.ndarray]] = []
        for start, end, first_new in token_windows(len(tokens), self._window, self._stride):
            words = np.flatnonzero((last >= first_new) & (last < end))
            words = words[words >= first]
            if not words.size:
                continue
            if batch and (len(batch) == batch_size or end - start != batch[0][1] - batch[0][0]):
                yield self._pass(tokens, last, batch)
                batch = []
            batch.append((start, end, words))
        if batch:
            yield self._pass(tokens, last, batch)

    def _pass(self, tokens: list[int], last: np.ndarray, batch: list[tuple[int, int, np.ndarray]]) -> Pass:
        import torch

        ids = torch.tensor([self._start + tokens[start:end] for start, end, _ in batch])
        places = [
            (row, torch.from_numpy(last[words] - start + len(self._start)))
            for row, (start, _, words) in enumerate(batch)
        ]

        def select(values: torch.Tensor) -> torch.Tensor:
            return torch.cat([values[row][:, where.to(values.device)].T for row, where in places])

        inputs = {self._argument: ids, "use_cache": False}
        return Pass(int(batch[0][2][0]), sum(len(words) for _, _, words in batch), inputs, select)


def word_windows(tokenizer: Tokenizer, start_token: str, preprocessing: Mapping[str, Any]) -> WordWindows:
    """From a tokenizer and the keys ``window_tokens`` and ``stride_tokens`` of an entry."""

    def encode(word: str) -> list[int]:
        return list(tokenizer.encode(word, add_special_tokens=False).ids)

    if tokenizer.token_to_id(start_token) is None:
        raise LayermapError(
            f"its tokenizer knows no token '{start_token}', which has to stand before every window; layermap reads "
            "words with byte-level tokenizers such as GPT-2's and SmolLM2's"
        )
    if encode(" one") + encode(" word") != encode(" one word"):
        raise LayermapError(
            "its tokenizer does not read a text word by word (it sets marks of its own before a word); layermap reads "
            "words with byte-level tokenizers such as GPT-2's and SmolLM2's"
        )
    window, stride = int(preprocessing["window_tokens"]), int(preprocessing["stride_tokens"])
    return WordWindows(encode, tokenizer.token_to_id(start_token), window, stride)


def token_windows(n_tokens: int, window: int, stride: int) -> list[tuple[int, int, int]]:
    """(start, end, first new token) of the windows that a text is read in."""
    windows = [(0, min(window, n_tokens), 0)]
    while windows[-1][1] < n_tokens:
        start, end, _ = windows[-1]
        start += stride
        windows.append((start, min(start + window, n_tokens), end))
    return windows
