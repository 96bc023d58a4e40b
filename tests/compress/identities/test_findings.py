"""The verb `verify`: every identity holds, and what does not is found."""

import numpy as np
import pytest
import torch

from compress import verify
from compress.file import bits, huffman, learned, places, rans, share, sizes
from compress.file import values as stored
from compress.identities import filing
from compress.identities.findings import SUBJECTS
from harness.result.findings import LIMITS, find


@pytest.mark.parametrize("subject", SUBJECTS)
def test_all_identities_hold(subject):
    found = verify(subject)
    assert found.ok, found
    assert len(found) >= 10
    for each in found:
        assert each.subject == subject
        if each.kind == "rounding":
            assert 0 < each.bound <= LIMITS["rounding"]


def failed(word):
    """The titles with this word of what fails."""
    some = [each for each in filing.identities() if word in each.title]
    assert some
    return {e.title for e in some if not find("file", e.title, e.kind, e.check, e.limit).ok}


def test_a_coder_that_forgets_the_order_of_its_words_is_found(monkeypatch):
    right = rans.encode
    monkeypatch.setattr(rans, "encode", lambda s, f: right(s[::-1], f))
    assert {"rANS, random = itself", "rANS, skewed = itself"} <= failed("rANS")


def test_a_decision_that_is_turned_is_found(monkeypatch):
    right = bits.Decoder.bit
    monkeypatch.setattr(bits.Decoder, "bit", lambda self, f: 1 - right(self, f))
    assert "decisions by their chances = themselves" in failed("decisions")


def test_a_decoder_that_learns_otherwise_than_the_coder_is_found(monkeypatch):
    right = learned.decode
    monkeypatch.setattr(learned, "decode", lambda d, s, n, p, b=None: right(d, s, n + 1, p, b))
    assert "places, learned = themselves" in failed("places")


def test_places_off_by_one_are_found(monkeypatch):
    right = places._of_gaps
    monkeypatch.setattr(places, "_of_gaps", lambda *args: np.maximum(right(*args) - 1, 0))
    assert "places, gaps = themselves" in failed("places")


def test_a_codebook_that_is_rounded_only_in_the_file_is_found(monkeypatch):
    right = stored.decode_codebook
    monkeypatch.setattr(stored, "decode_codebook", lambda data: right(data) * np.float16(1.01))
    assert "pack(unpack) = the same file" in failed("pack(unpack)")


def test_weights_that_lose_digits_without_being_asked_to_are_found(monkeypatch):
    from compress.file import tensors

    right = tensors.encode_values
    monkeypatch.setattr(tensors, "encode_values", lambda x, b: right(x, 16 if b is None else b))
    assert "no bits: the net's own weights" in failed("own")


def test_a_size_that_forgets_the_codebook_is_found(monkeypatch):
    monkeypatch.setitem(sizes.OF_PARTS, 0, ("where", "other", "values"))
    assert "sizes by layer and purpose = the file" in failed("sizes")


def test_a_code_that_joins_by_order_and_not_by_count_is_found(monkeypatch):
    monkeypatch.setattr(huffman, "_least", lambda single, joined: (joined or single).popleft())
    assert "Huffman's length = a heap's, plain Python" in failed("Huffman")


def test_a_centroid_that_takes_the_mean_is_found(monkeypatch):
    right = share.Gather.forward

    def mean(self, centroids):
        often = torch.bincount(self.index, minlength=len(centroids))
        return right(self, centroids.detach() + (centroids - centroids.detach()) / often)

    monkeypatch.setattr(share.Gather, "forward", mean)
    found = failed("gradient")
    assert "gradient of a centroid = sum of its weights'" in found
    assert "gradient of a centroid is not their mean" in found
