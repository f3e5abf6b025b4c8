"""R701 to R704: META's model, TOKN, and TOKB compiled from it"""

import json
import struct
import unittest

import reference
from reference import tokenizer
from reference.layout import NONE

from .build import model_sample

EXAMPLE = b'{"model":{"type":"BPE","vocab":{"b":1,"a":0,"ab":3},"merges":["a b"]}}'


def text(vocab, merges, **members):
    return json.dumps({"model": {"vocab": vocab, "merges": merges} | members}).encode()


def tables(raw):
    """TOKB taken apart with the layout of tokenizer.md, 1: (V, M, P, R, empty_id), arrays, pool, rest."""
    raw = tokenizer.compile_tokens(raw)
    version, *counts = struct.unpack_from("<6I", raw)
    assert version == 1 and not any(raw[24:64])
    v, m, p, r, _ = counts
    out, at = [], 64
    for size in (4 * (v + 1), 4 * (v + 1), 4 * m, 4 * m, 4 * m, p, r):
        out.append(raw[at:at + size])
        padding = raw[at + size:at + (size + 7) // 8 * 8]
        assert not any(padding)
        at += size + len(padding)
    assert at == len(raw)
    return counts, [list(memoryview(each).cast("I")) for each in out[:5]], *out[5:]


class Compile(unittest.TestCase):
    def test_example(self):
        """tokenizer.md, 3"""
        self.assertEqual(tables(EXAMPLE), ([4, 1, 4, 47, NONE], [[0, 1, 2, 2, 4], [0, 1, 1, 1, 1], [1], [0],
                                                                 [3]],
                                           b"abab", b'{"model":{"type":"BPE","vocab":{},"merges":[]}}'))

    def test_empty(self):
        counts, arrays, pool, rest = tables(text({}, []))
        self.assertEqual((counts[:3], counts[4], arrays, pool), ([0, 0, 0], NONE, [[0], [0], [], [], []],
                                                                 b""))
        self.assertEqual(tables(text({"": 2, "x": 4}, []))[:3],
                         ([5, 0, 1, 38, 2], [[0, 0, 0, 0, 0, 1], [0] * 6, [], [], []], b"x"))

    def test_merges(self):
        vocab = {"a": 0, "b": 1, "ab": 2, "ba": 3, "aa": 4, "é ": 5, "é a": 6}
        merges = ["#version: 0.2", "b a", ["a", "b"], "a a", "#version", "a b", ["é ", "a"]]
        _, (begin, first, right, rank, merged), pool, _ = tables(text(vocab, merges))
        self.assertEqual(pool.decode(), "ababbaaaé é a")
        self.assertEqual(begin, [0, 1, 2, 4, 6, 8, 11, 15])
        self.assertEqual((first, right, rank, merged),
                         ([0, 2, 3, 3, 3, 3, 4, 4], [0, 1, 0, 0], [2, 3, 0, 4], [4, 2, 3, 6]))

    def test_rest(self):
        """Nothing but the two values changes, wherever they stand and however their names are spelt."""
        raw = ' {"é":{"vocab":{"a":0}}, "model" : {"merges":[ ],"m":[[{"vocab":{}}]],"\\u0076ocab": {"}":0} }} '
        self.assertEqual(tables(raw.encode())[3].decode(), raw.replace("[ ]", "[]").replace('{"}":0}', "{}"))
        self.assertEqual(tables(b'{"model":{"vocab":{"\\u0061":0},"merges":[]}}')[2], b"a")

    def test_none(self):
        good = {"a": 0, "b": 1, "ab": 2}
        for raw in (b"", b"[]", b"{}", b'{"model":[]}', b'{"model":{"vocab":{}}}', EXAMPLE + b" x",
                    b"\xef\xbb\xbf" + EXAMPLE, b'{"model":{"vocab":{},"merges":[],"x":1e999}}',
                    b'{"model":{"vocab":[],"merges":[]}}', text(good, None), text(good, {}), text(good,
                                                                                                  ["a  b"]),
                    text(good, ["ab"]), text(good, [["a"]]), text(good, [["a", 1]]), text(good, [1]),
                    text(good, ["b a"]), text(good, ["a c"]), text(good, [["#version", "a"]]),
                    text(good, [], type="WordPiece"), text(good, [], continuing_subword_prefix="##"),
                    text(good, [], end_of_word_suffix="</w>"), text(good, [], end_of_word_suffix=0),
                    text({"a": 0.0}, []), text({"a": True}, []), text({"a": -1}, []), text({"a": 1 << 24},
                                                                                           []),
                    text({"a": 1, "b": 1}, []), text({"a": 4 + 65536}, []),
                    b'{"a":' * 65 + b"1" + b"}" * 65):
            with self.assertRaises(tokenizer.NoTables, msg=raw[:60]):
                tokenizer.compile_tokens(raw)
        tokenizer.compile_tokens(text({"a": 4 + 65535}, []))
        tokenizer.compile_tokens(text(good, [], type=None, end_of_word_suffix="",
                                      continuing_subword_prefix=None))


class Model(unittest.TestCase):
    def check(self, expected, texts=None, **members):
        s = model_sample(**members)
        s.texts.update(texts or {})
        file = reference.open_file(s.bytes(), reference.FULL)
        self.assertEqual([finding.rule for finding in file.findings], expected, (texts, members))
        return file

    def test_model(self):
        self.check([])
        self.check([], architecture="other", eos_ids=None, bos_id=-1)
        for members in (dict(tied=False), dict(qkv_bias=True), dict(hidden_size=5), dict(qk_norm="per_head")):
            self.check([702], **members)
        for name in ("architecture", "vocab_size", "context_length", "norm", "activation", "qk_norm", "rope"):
            self.check([701], **{name: None})

    def test_not_asked(self):
        """Behind R701 or an unknown word neither the tensors nor the tokenizer are looked at."""
        broken = {b"TOKN": b"[]", b"TOKB": b"x"}
        self.check([701], broken, tied=1)
        file = self.check([], broken, activation="gelu", hidden_size=5)
        self.assertEqual((file.good, file.damage, file.unsupported), (False, 0, ["activation 'gelu'"]))
        file = self.check([], broken, architecture="none", tied=1)
        self.assertTrue(file.good)

    def test_tokn(self):
        for raw in (b'{"model":{"vocab":{"a":0,"b":1,"ab":7},"merges":["#version: 0.2","a b",["a","b"]]}}',
                    b'{"model":{},"added_tokens":null}', b'{"model":{"vocab":[["a",-1.5]],"merges":3}}',
                    b'{"model":{},"added_tokens":[{"id":7,"content":""}]}'):
            self.check([], {b"TOKN": raw})
        for raw in (b"[]", b"{}", b'{"model":{"vocab":{"a":8}}}', b'{"model":{"vocab":{"a":0,"b":0}}}',
                    b'{"model":{"vocab":{"a":0},"merges":["a a"]}}', b'{"model":{"vocab":{"a":1.0}}}',
                    b'{"model":{},"added_tokens":[{"id":8,"content":""}]}',
                    b'{"model":{},"added_tokens":[{"id":7}]}', b'{"model":{},"added_tokens":{}}',
                    b'{"model":{},"added_tokens":[1]}', b'{"model":{"vocab":{},"merges":[1]}}'):
            self.check([703], {b"TOKN": raw})

    def test_tokb(self):
        good = tokenizer.compile_tokens(EXAMPLE)
        self.check([], {b"TOKN": EXAMPLE, b"TOKB": good})
        for broken in (good[:-8], good + bytes(8), good[:64] + b"\1" + good[65:]):
            self.check([704], {b"TOKN": EXAMPLE, b"TOKB": broken})
        self.check([704], {b"TOKB": good})
        self.check([704], {b"TOKN": b'{"model":{}}', b"TOKB": good})
        self.check([703, 704], {b"TOKN": b"{}", b"TOKB": good})


if __name__ == "__main__":
    unittest.main()
