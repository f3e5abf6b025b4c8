"""Step 14 (sqf.md, 6): the model that META describes (section 4), its tensors, its tokenizer (section 5)."""

from . import strict_json, tokenizer
from .layout import NONE
from .strict_json import is_integer, is_number

INTEGERS = (("vocab_size", 1, 1 << 24), ("hidden_size", 1, 1 << 24), ("intermediate_size", 1, 1 << 24),
            ("layers", 1, 4096), ("heads", 1, 65536), ("kv_heads", 1, 65536), ("head_dim", 2, 8192),
            ("context_length", 1, 1 << 26))
BOOLEANS = ("qkv_bias", "output_bias", "mlp_bias", "tied")


class _Description:
    """META's `model`, member by member: what is wrong with it, and words the reader does not know."""

    def __init__(self, model):
        self.model = model
        self.wrong = []
        self.unknown = []

    def member(self, owner, name):
        # A member that is null counts as absent.
        return owner.get(name)

    def number(self, owner, name, low, high, integer=False):
        value = self.member(owner, name)
        if not (is_integer(value) if integer else is_number(value)) or not low <= value <= high:
            kind = "an integer" if integer else "a number"
            self.wrong.append(f"{name} is not {kind} in {low}..{high}")
            return None
        return value

    def word(self, owner, name, known, label=None):
        value = self.member(owner, name)
        if type(value) is not str:
            self.wrong.append(f"{label or name} is no string")
            return None
        if value not in known:
            self.unknown.append(f"{label or name} {value[:80]!r}")
            return None
        return value

    def object(self, name):
        value = self.member(self.model, name)
        if type(value) is not dict:
            self.wrong.append(f"{name} is no object")
            return None
        return value


def _describe(file, description):
    """The description's values by name, None where one is wrong."""
    model = description.model
    found = {name: description.number(model, name, low, high, True) for name, low, high in INTEGERS}
    if found["layers"] is not None and found["layers"] > len(file.tensors):
        description.wrong.append(f"{found['layers']} layers and {len(file.tensors)} tensors")
    if found["heads"] and found["kv_heads"] and found["heads"] % found["kv_heads"]:
        description.wrong.append("kv_heads does not divide heads")
    if found["head_dim"] and found["head_dim"] % 2:
        description.wrong.append("head_dim is odd")
    norm = description.object("norm")
    if norm is not None:
        description.word(norm, "kind", ("rms",), "norm.kind")
        description.number(norm, "epsilon", 0, 1)
    description.word(model, "activation", ("silu",))
    found["qk_norm"] = description.word(model, "qk_norm", ("none", "per_head"))
    for name in BOOLEANS:
        value = description.member(model, name)
        if value is not None and type(value) is not bool:
            description.wrong.append(f"{name} is no boolean")
        found[name] = value is True
    vocabulary = found["vocab_size"] or 1 << 24
    if description.member(model, "bos_id") is not None:
        description.number(model, "bos_id", -1, vocabulary - 1, True)
    ends = description.member(model, "eos_ids")
    if ends is not None:
        ends = ends if type(ends) is list else [ends]
        if not all(is_integer(each) and 0 <= each < vocabulary for each in ends):
            description.wrong.append("eos_ids are not integers below vocab_size")
    rope = description.object("rope")
    if rope is not None:
        description.number(rope, "theta", 1, 1e12)
        description.word(rope, "pairing", ("half",), "rope.pairing")
        scaling = description.word(rope, "scaling", ("none", "linear", "llama3"), "rope.scaling")
        if scaling in ("linear", "llama3"):
            description.number(rope, "factor", 1e-3, 1e6)
        if scaling == "llama3":
            low = description.number(rope, "low_frequency", 1e-3, 1e6)
            high = description.number(rope, "high_frequency", 1e-3, 1e6)
            if low is not None and high is not None and not high > low:
                description.wrong.append("high_frequency is not above low_frequency")
            description.number(rope, "original_context", 1, 1 << 26, True)
    return found


def _expected(found):
    """{name: (shape, has a bias)} of the tensors that the description asks for."""
    h, f, vocabulary = found["hidden_size"], found["intermediate_size"], found["vocab_size"]
    q, kv = found["heads"] * found["head_dim"], found["kv_heads"] * found["head_dim"]
    layer = [("input_layernorm", (h,), False), ("post_attention_layernorm", (h,), False),
             ("self_attn.q_proj", (q, h), found["qkv_bias"]),
             ("self_attn.k_proj", (kv, h), found["qkv_bias"]),
             ("self_attn.v_proj", (kv, h), found["qkv_bias"]),
             ("self_attn.o_proj", (h, q), found["output_bias"]),
             ("mlp.gate_proj", (f, h), found["mlp_bias"]), ("mlp.up_proj", (f, h), found["mlp_bias"]),
             ("mlp.down_proj", (h, f), found["mlp_bias"])]
    if found["qk_norm"] == "per_head":
        layer += [("self_attn.q_norm", (found["head_dim"],), False),
                  ("self_attn.k_norm", (found["head_dim"],), False)]
    expected = {b"model.embed_tokens.weight": ((vocabulary, h), False), b"model.norm.weight": ((h,), False)}
    if not found["tied"]:
        expected[b"lm_head.weight"] = ((vocabulary, h), False)
    for i in range(found["layers"]):
        for name, shape, bias in layer:
            expected[f"model.layers.{i}.{name}.weight".encode()] = (shape, bias)
    return expected


def _tensors(file, found):
    """What breaks R702, or None."""
    expected = _expected(found)
    for i, name in enumerate(file.names):
        tensor = file.tensors[i]
        if name not in expected:
            return f"the model has no tensor {name.decode()!r}"
        shape, bias = expected.pop(name)
        if tensor.shape[:tensor.rank] != shape:
            return f"{name.decode()!r} is {list(tensor.shape[:tensor.rank])}, not {list(shape)}"
        if (tensor.bias != NONE) != bias:
            return f"{name.decode()!r} {'has no bias' if bias else 'has a bias'}"
    if expected:
        return f"there is no tensor {next(iter(expected)).decode()!r}"
    return None


def _merge(entry, vocabulary):
    # The line `#version: ...` is no merge (tokenizer.md, 3).
    if tokenizer.is_header(entry):
        return True
    pair = tokenizer.pair(entry)
    return pair is not None and all(each in vocabulary for each in (*pair, "".join(pair)))


def _tokenizer(raw, vocab_size):
    """What breaks R703, or None."""
    try:
        value = strict_json.parse(raw, tokenizer.DEPTH, most=tokenizer.MOST_VALUES)
    except strict_json.JsonError as error:
        return f"TOKN is not strict JSON: {error}"
    if type(value) is not dict or type(value.get("model")) is not dict:
        return "TOKN is no object with an object `model`"
    limit = min(vocab_size, tokenizer.MOST_IDS)
    vocabulary = value["model"].get("vocab")
    if type(vocabulary) is dict:
        ids = vocabulary.values()
        if not all(is_integer(each) and 0 <= each < limit for each in ids):
            return f"a token's number is not an integer below {limit}"
        if len(set(ids)) != len(ids):
            return "two tokens have one number"
    added = value.get("added_tokens")
    added = [] if added is None else added
    if type(added) is not list:
        return "added_tokens is no array"
    for each in added:
        number = each.get("id") if type(each) is dict else None
        if not is_integer(number) or not 0 <= number < limit:
            return f"an added token has no integer `id` below {limit}"
        if type(each.get("content")) is not str:
            return "an added token has no string `content`"
    if type(vocabulary) is dict and "merges" in value["model"]:
        merges = value["model"]["merges"]
        if type(merges) is not list:
            return "merges is no array"
        for i, pair in enumerate(merges):
            if not _merge(pair, vocabulary):
                return f"merge {i} is no pair of tokens whose concatenation is a token"
    return None


def _compiled(file):
    """R704"""
    if b"TOKB" not in file.raw:
        return
    if b"TOKN" not in file.raw:
        return file.report(704, "TOKB without TOKN")
    try:
        tables = tokenizer.compile_tokens(file.raw[b"TOKN"])
    except tokenizer.NoTables as error:
        return file.report(704, f"TOKB of a tokenizer that has none: {error}")
    if tables != file.raw[b"TOKB"]:
        file.report(704, "TOKB is not what compiling TOKN gives")


def check(file):
    """R701, or an unknown word, which makes the model unsupported and breaks no rule; where neither is,
    R702, R703, R704, each of what it is about: the tensors, TOKN, TOKB."""
    description = _Description(file.meta["model"])
    architecture = description.model.get("architecture")
    if architecture == "none":
        return
    if type(architecture) is not str:
        description.wrong.append("architecture is no string")
    found = _describe(file, description)
    file.unsupported += description.unknown
    if description.wrong:
        return file.report(701, "; ".join(description.wrong))
    if description.unknown:
        return
    wrong = _tensors(file, found)
    if wrong:
        file.report(702, wrong)
    if b"TOKN" in file.raw:
        wrong = _tokenizer(file.raw[b"TOKN"], found["vocab_size"])
        if wrong:
            file.report(703, wrong)
    _compiled(file)
