"""Bad models: the description, the tensors it asks for, the tokenizer (R701..R703); and odd files
that are good, so that a reader cannot pass by refusing too much."""

import packing as pk
import seeds
from bad_texts import bad_json, framed, is_utf8, member, with_text
from builder import F16, U8, ZERO_CONSTANT, ZERO_U8, Description, Tensor, build
from corpus import GOOD, NO_RULE, model_description, tiny
from make_good import LICENCE, plain
from parts import Source
from zstd_frames import block, frame, header, run, stored

ABSENT = ...


def add_all(c):
    description(c)
    rope(c)
    words(c)
    tensors(c)
    tokenizers(c)
    merges(c)
    good_oddities(c)


def with_members(text=None, **changes):
    """The model's file with other members in META; its tensors stay as they are."""
    d = model_description()
    m = seeds.model_members()
    for name, value in changes.items():
        if value is ABSENT:
            del m[name]
        else:
            m[name] = value
    d.meta = seeds.meta(m)
    if text:
        d.meta = seeds.text(d.meta).replace(*text)
    return build(d)


def description(c):
    def bad(name, *values, note=""):
        for value in values:
            label = "absent" if value is ABSENT else repr(value)
            c.add(f"model.{name}={label[:40]}", 701, with_members(**{name: value}), note)

    no_integer = (ABSENT, None, "24", 24.0, True, [24], {})
    for name, low, high in (("vocab_size", 1, 1 << 24), ("hidden_size", 1, 1 << 24),
                            ("intermediate_size", 1, 1 << 24), ("layers", 1, 4096),
                            ("heads", 1, 65536), ("kv_heads", 1, 65536), ("head_dim", 2, 8192),
                            ("context_length", 1, 1 << 26)):
        bad(name, *no_integer, low - 1, -1, high + 1, 1 << 31, 1 << 32, 1 << 53, 1 << 63, 1 << 64,
            -(1 << 63), 10**30, 0.5)
    bad("layers", 12, 4096)  # there are eleven tensors
    bad("kv_heads", 3, 4, 65536)
    bad("head_dim", 1, 15, 17, 8191)
    for name, text in (("vocab_size", b"2.4e1"), ("hidden_size", b"32e0"), ("layers", b"1E0"),
                       ("heads", b"2.0"), ("context_length", b"64.0")):
        value = {"vocab_size": b"24", "hidden_size": b"32", "layers": b"1", "heads": b"2",
                 "context_length": b"64"}[name]
        old = b'"%s":%s,' % (name.encode(), value)
        c.add(f"model.{name}.as.{text.decode()}", 701,
              with_members((old, b'"%s":%s,' % (name.encode(), text))), "an integer has no exponent")
    bad("architecture", ABSENT, None, 1, True, [], {})
    bad("activation", ABSENT, None, 1, [], {})
    bad("qk_norm", ABSENT, None, 1, False, {})
    for name in ("qkv_bias", "output_bias", "mlp_bias", "tied"):
        bad(name, 0, 1, "true", "", [], {}, 1.0)
    bad("bos_id", -2, 24, 1 << 31, 1 << 64, -(1 << 63), 0.0, "0", True, [], [0])
    bad("eos_ids", -1, 24, [24], [-1], [1, 24], 1.0, [1.0], "1", ["1"], True, [True], {}, [None],
        [[1]], [1 << 64], 1 << 63)
    bad("norm", ABSENT, None, 1, "rms", [], {}, {"kind": "rms"}, {"epsilon": 1e-5},
        {"kind": 1, "epsilon": 1e-5}, {"kind": None, "epsilon": 1e-5}, {"kind": "rms", "epsilon": None},
        {"kind": "rms", "epsilon": "1e-5"}, {"kind": "rms", "epsilon": -1e-9},
        {"kind": "rms", "epsilon": 1.001}, {"kind": "rms", "epsilon": True},
        {"kind": "rms", "epsilon": [0]}, {"kind": "rms", "epsilon": -1})
    c.add("model.empty", 701, empty_model({}))
    c.add("model.name.alone", 701, empty_model({"architecture": "llama"}))
    c.add("model.None.in.capitals", 701, empty_model({"architecture": "None"}))


def empty_model(model):
    d = model_description()
    d.meta = seeds.meta()
    d.meta["model"] = model
    return build(d)


def rope(c):
    base = {"theta": 10000, "pairing": "half", "scaling": "none"}
    linear = {**base, "scaling": "linear", "factor": 2}
    llama3 = {**linear, "scaling": "llama3", "low_frequency": 1, "high_frequency": 4,
              "original_context": 32}

    def bad(name, value):
        c.add(f"rope.{name}", 701, with_members(rope=value))

    for name, value in (("absent", ABSENT), ("null", None), ("list", []), ("text", "half"), ("empty", {})):
        bad(name, value)
    for start, whole in (("none", base), ("linear", linear), ("llama3", llama3)):
        for name in whole:
            bad(f"{start}.without.{name}", {k: v for k, v in whole.items() if k != name})
            for value in (None, True, [], {}):
                bad(f"{start}.{name}={value!r}", {**whole, name: value})
    for value in (0, 0.999, -1, 1.001e12, 1e300, "10000"):
        bad(f"theta={value}", {**base, "theta": value})
    for value in (1, 0.5):
        bad(f"pairing={value!r}", {**base, "pairing": value})
        bad(f"scaling={value!r}", {**base, "scaling": value})
    for value in (0, -1, 0.00099, 1000001, 1e300, "2"):
        bad(f"factor={value}", {**linear, "factor": value})
        bad(f"llama3.factor={value}", {**llama3, "factor": value})
        bad(f"low_frequency={value}", {**llama3, "low_frequency": value})
        bad(f"high_frequency={value}", {**llama3, "high_frequency": value})
    for low, high in ((4, 1), (4, 4), (4, 3.999)):
        bad(f"frequencies.{low}.{high}", {**llama3, "low_frequency": low, "high_frequency": high})
    for value in (0, -1, (1 << 26) + 1, 32.0, "32", 1 << 63):
        bad(f"original_context={value!r}", {**llama3, "original_context": value})


def words(c):
    """Words that a reader of 1.0 does not know: refused, but no rule is broken."""
    base = {"theta": 10000, "pairing": "half", "scaling": "none"}
    for name, changes in (
            ("activation", {"activation": "gelu"}), ("activation.empty", {"activation": ""}),
            ("activation.case", {"activation": "SiLU"}), ("qk_norm", {"qk_norm": "full"}),
            ("norm", {"norm": {"kind": "layer", "epsilon": 1e-5}}),
            ("pairing", {"rope": {**base, "pairing": "adjacent"}}),
            ("scaling", {"rope": {**base, "scaling": "yarn"}})):
        c.add(f"word.{name}", NO_RULE, with_members(**changes))


def tensors(c):
    def built(name, edit, rule=702, **members):
        d = model_description(seeds.model_members(**members) if members else None)
        edit(d)
        d.tensors.sort(key=lambda t: t.name)
        c.add("model.tensors." + name, rule, build(d))

    find = lambda d, end: next(t for t in d.tensors if t.name.endswith(end))
    names = [t.name for t in model_description().tensors]
    for name in names:
        short = name.decode()
        if not any(name.endswith(end + b".weight") for end in (b"o_proj", b"down_proj", b"tokens")):
            # Without those an input record or an encoding would have no user.
            built(f"without.{short}", lambda d, n=name: d.tensors.remove(find(d, n)))

        def rename(d, n=name):
            find(d, n).name = n + b"2"
        built(f"renamed.{short}", rename)

        def biased(d, n=name):
            t = find(d, n)
            t.bias = pk.vector(Source(5).uniform(-1, 1, (1, t.shape[-2] if len(t.shape) > 1 else 1)))
        built(f"bias.{short}", biased)

        def three(d, n=name):
            t = find(d, n)
            t.shape = (1, *((1, *t.shape) if len(t.shape) == 1 else t.shape))
        built(f"rank3.{short}", three)

    def extra(d):
        d.tensors.append(Tensor(b"rope.freqs", (8,), [Source(6).real_part(F16, 1, 1, 8)]))
    built("one.more", extra)

    def head(d):
        d.tensors.append(Tensor(b"lm_head.weight", (24, 32), [Source(6).real_part(F16, 1, 24, 32)]))
    built("tied.with.head", head)
    built("untied.without.head", lambda d: d.meta["model"].update(tied=False))
    built("tied.absent", lambda d: d.meta["model"].pop("tied"))
    for name, value in (("vocab_size", 25), ("vocab_size", 16), ("vocab_size", 1 << 24),
                        ("hidden_size", 64), ("hidden_size", 1), ("intermediate_size", 47),
                        ("intermediate_size", 1 << 24), ("layers", 2), ("layers", 11), ("heads", 4),
                        ("heads", 65536), ("kv_heads", 2), ("head_dim", 8), ("head_dim", 8192),
                        ("qk_norm", "per_head"), ("qkv_bias", True), ("output_bias", True),
                        ("mlp_bias", True)):
        built(f"{name}={value}", lambda d, n=name, v=value: d.meta["model"].update({n: v}))
    for member_name in ("qkv_bias", "output_bias", "mlp_bias"):
        built(f"{member_name}.not.said", lambda d, m=member_name: d.meta["model"].update({m: False}),
              **{member_name: True})
    built("qk_norm.not.said", lambda d: d.meta["model"].update(qk_norm="none"), qk_norm="per_head")

    def flat(d):
        find(d, b"model.norm.weight").shape = (1, 32)
    built("norm.of.rank.2", flat)

    def turned(d):
        t = find(d, b"k_proj.weight")
        t.shape, t.input = (32, 16), None
        t.parts = [Source(7).part(d.encodings[0], 0, 1, 32, 16)]
    built("k_proj.turned", turned)


def tokenizer_file(value):
    body = value if isinstance(value, bytes) else seeds.text(value)
    return build(model_description(tokenizer=body))


def tokenizers(c):
    whole = seeds.text(seeds.tokenizer())
    deep = {"arrays.65": b"[" * 64 + b"]" * 64, "objects.65": b'{"a":' * 64 + b"1" + b"}" * 64,
            "arrays.100000": b"[" * 100000 + b"]" * 100000, "arrays.open": b"[" * 100000}
    for name, body in bad_json(whole, deep):
        c.add("tokn.json." + name, 703 if is_utf8(body) else 303, tokenizer_file(body))

    def bad(name, value, note=""):
        c.add("tokn." + name, 703, tokenizer_file(value), note)

    for value in (None, [], "BPE", 1, ABSENT):
        t = seeds.tokenizer()
        t["model"] = value
        if value is ABSENT:
            del t["model"]
        bad(f"model={'absent' if value is ABSENT else value!r}", t)
    bad("empty", {})
    vocab = seeds.tokenizer()["model"]["vocab"]
    for value in (0, 1, 19, 24, 25, 1 << 24, 1 << 31, 1 << 32, (1 << 32) + 23, 1 << 63, 1 << 64, -1, -(1 << 63),
                  23.0, 0.5, "23", None, True, [], {}, 10**30):
        bad(f"vocab.id={value!r}", seeds.tokenizer(vocab={**vocab, "é": value}))
    bad("vocab.one.more", seeds.tokenizer(vocab={**vocab, "new": 24}))
    bad("vocab.id.as.20e0", whole.replace('"é":20'.encode(), '"é":20e0'.encode()))
    for value in (24, 25, 1 << 24, 1 << 32, (1 << 32) + 1, 1 << 64):
        t = seeds.tokenizer()
        t["added_tokens"][1]["id"] = value
        bad(f"added.id={value}", t)
    for value in (-1, 1.0, "1", None, [], True):
        t = seeds.tokenizer()
        t["added_tokens"][1]["id"] = value
        bad(f"added.id={value!r}", t, "an added token's id is an integer and not negative")
    for name, value in (("object", {}), ("text", "a"), ("no.id", [{}]), ("number", [5])):
        t = seeds.tokenizer()
        t["added_tokens"] = value
        bad(f"added.{name}", t, "added_tokens is an array of objects with an id")


def merges(c):
    good = seeds.tokenizer()["model"]["merges"]
    pairs = seeds.tokenizer(merge_pairs=True)["model"]["merges"]
    for name, one in (
            ("no.space", "ab"), ("empty", ""), ("space", " "), ("left.absent", "z b"),
            ("right.absent", "a z"), ("both.absent", "x y"), ("result.absent", "a c"),
            ("three", "a b c"), ("two.spaces", "a  b"), ("space.first", " a b"), ("space.last", "a b "),
            ("left.empty", " b"), ("right.empty", "a "), ("tab", "a\tb"), ("number", 5), ("null", None),
            ("object", {"a": "b"}), ("true", True)):
        c.add(f"tokn.merge.{name}", 703, tokenizer_file(seeds.tokenizer(merges=good + [one])))
        if isinstance(one, str) and name not in ("three",):
            c.add(f"tokn.merge.first.{name}", 703, tokenizer_file(seeds.tokenizer(merges=[one] + good)))
    for name, one in (
            ("none", []), ("one", ["a"]), ("three", ["a", "b", "ab"]), ("number", ["a", 1]),
            ("null", [None, "b"]), ("nested", [["a"], "b"]), ("absent", ["a", "z"]), ("result", ["a", "c"]),
            ("swapped", ["b", "a"]), ("empty.left", ["", "c1"]), ("spaced", ["a ", "b"])):
        c.add(f"tokn.merge.pair.{name}", 703, tokenizer_file(seeds.tokenizer(merges=pairs + [one])))
    for value in ({}, "a b", 1, True, None):
        c.add(f"tokn.merges={value!r}", 703, tokenizer_file(seeds.tokenizer(merges=value)),
              "merges that are no array")


# ---- valid all the same --------------------------------------------------------------------------


def good_oddities(c):
    meta = seeds.text(seeds.meta())
    for name, value in (
            ("deep.16", b"[" * 15 + b"]" * 15), ("deep.16.objects", b'{"a":' * 15 + b"1" + b"}" * 15),
            ("most", b"1.7976931348623157e308"), ("rounds.to.most", b"1.7976931348623158e308"),
            ("least", b"1e-999"), ("minus.zero", b"-0"), ("integer.40", b"1" + b"0" * 40),
            ("exponent", b"1E+05"), ("pair", b'"\\ud83d\\ude00"'), ("nul", b'"\\u0000"'),
            ("delete", b'"\x7f"'), ("slash", b'"\\/"'), ("nonchar", '"\uffff"'.encode()),
            ("line.separator", '"\u2028"'.encode()), ("same.key.elsewhere", b'[{"a":1},{"a":{"a":1}}]'),
            ("keys.differ.in.case", b'{"a":1,"A":2}'), ("not.normalized", '{"é":1,"e\u0301":2}'.encode()),
            ("empty.key", b'{"":{}}'), ("wide", b"[" + b"0," * 20000 + b"0]")):
        c.good("meta." + name, with_text("META", member(meta, value)))
    c.good("meta.spaces", with_text("META", b" \t\r\n" + meta.replace(b",", b" ,\n\t") + b"\r\n"))
    for kind, body in (("TMPL", b"\0"), ("TMPL", b"\xef\xbb\xbf"), ("LICN", "\uffff\U0010ffff".encode()),
                       ("TOKN", b"no JSON"), ("CALB", b"{}")):
        c.good(f"text.{kind}.{body.hex()}", with_text(kind, body))
    c.fields(GOOD, tiny, "header", 0, [("minor", 1), ("minor", 65535), ("feature_compat", (1 << 64) - 1),
                                       ("feature_ro_compat", (1 << 64) - 1), ("data_align_log2", 13),
                                       ("chunk_log2", 16), ("chunk_log2", 24)])
    raw = LICENCE * 9
    cut = len(raw) // 2
    for name, body in (
            ("window.8MiB", frame(raw, window=0x68)), ("window.1KiB", frame(raw, window=0)),
            ("wide.size", header(len(raw) + 0, window=0x68) + stored(raw)),
            ("two.blocks", header(len(raw)) + stored_pieces(raw[:cut], raw[cut:])),
            ("empty.block", header(len(raw)) + stored_pieces(raw, b""))):
        c.good("zstd." + name, framed("LICN", body, raw))
    size = 9 << 20
    c.good("zstd.9MiB.in.a.window.of.8", framed("LICN", header(size, window=0x68) + run(32, size), b" " * size))
    size = 8 << 20
    c.good("zstd.8MiB.in.one.segment", framed("LICN", header(size) + run(32, size), b" " * size))
    for name, t in (("vocab.list", seeds.tokenizer(vocab=[["a", 0.5]], merges=["x y"])),
                    ("no.vocab", {"model": {}}), ("no.merges", seeds.tokenizer(merges=[]))):
        c.good("tokn." + name, tokenizer_file(t), "what the page does not ask of TOKN")
    for changes in ({"eos_ids": []}, {"eos_ids": 23}, {"bos_id": 23}, {"context_length": 1 << 26},
                    {"architecture": ""}, {"norm": {"kind": "rms", "epsilon": 0}},
                    {"rope": {"theta": 1e12, "pairing": "half", "scaling": "none", "factor": "any"}},
                    {"unknown": {"x": []}, "tied": True}):
        c.good(f"model.{next(iter(changes))}.{len(c.cases)}", with_members(**changes))
    long_name = Source(111), Description(seeds.meta())
    plain(long_name[1], long_name[0], "n" * 255, pk.affine(4, 65536, F16, ZERO_U8), 2, 40)
    plain(long_name[1], long_name[0], "o ~\u00a0é", pk.affine(1, 0, U8, ZERO_CONSTANT), 1, 1)
    c.good("names.and.groups", build(long_name[1]))
    t = seeds.tokenizer(merge_pairs=True)
    t["model"]["vocab"] |= {"a b": 21, "a ba b": 22}
    t["model"]["merges"].append(["a b", "a b"])
    c.good("tokn.space.in.a.token", tokenizer_file(t))
    for name, encoding, columns, why in (
            ("last.group.of.16", pk.affine(4, 32, F16, ZERO_U8), 48, ""),
            ("row.of.16", pk.affine(4, 0, F16, ZERO_U8), 16, ""),
            ("row.of.16.radix.4", pk.affine(2, 0, F16, ZERO_U8), 16, "radix 4 takes 32 columns for 16"),
            ("row.of.16.radix.2", pk.affine(5, 0, F16, ZERO_U8), 16, "")):
        d = Description(seeds.meta())
        plain(d, Source(112), "w", encoding, 3, columns)
        c.good("encoding." + name, build(d), why)
    image = tiny().copy().set("input", 0, "set0.per_tensor", 1).set("input", 0, "set0.asymmetric", 1)
    c.good("quantizer.flags", image.seal())


def stored_pieces(*pieces):
    return b"".join(block(0, len(p), p, int(p is pieces[-1])) for p in pieces)
