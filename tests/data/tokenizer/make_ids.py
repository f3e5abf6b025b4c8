#!/usr/bin/env python3
"""Makes the tokenizer test data in this folder. Needs the PyPI package `tokenizers`.

    make_ids.py [SMOLLM2_FOLDER]

Writes text.txt (mixed scripts, about 100 KB) and special.txt (full of added tokens), trains one
small tokenizer per published family on the text, and stores what the tokenizers library makes of
both texts. With a folder that holds SmolLM2's tokenizer.json its ids are stored too.

NAME.ids holds three lists, each a little-endian u32 count and that many u16 ids: text.txt with
special tokens as ordinary text, special.txt with special tokens recognised, special.txt with
special tokens as ordinary text. Template tokens (begin of text) are in none of them.
"""
import json
import os
import random
import struct
import sys
import unicodedata

import tokenizers
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers
from tokenizers import pre_tokenizers, processors, trainers

HERE = os.path.dirname(os.path.abspath(__file__))

CONTRACTION = "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
TAIL = r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
TAIL_SLASH = r" ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
UPPER = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]"
LOWER = r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
PREFIX = r"[^\r\n\p{L}\p{N}]?"
LLAMA3 = CONTRACTION + r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}|" + TAIL
QWEN2 = CONTRACTION + r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}|" + TAIL
QWEN35 = (CONTRACTION + r"|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}"
          r"| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")
GPT4O = (PREFIX + UPPER + "*" + LOWER + "+" + CONTRACTION + "?|" +
         PREFIX + UPPER + "+" + LOWER + "*" + CONTRACTION + r"?|\p{N}{1,3}|" + TAIL_SLASH)
TEKKEN = (PREFIX + UPPER + "*" + LOWER + "+|" +
          PREFIX + UPPER + "+" + LOWER + r"*|\p{N}|" + TAIL_SLASH)
DEEPSEEK = [r"\p{N}{1,3}", "[一-龥぀-ゟ゠-ヿ]+",
            r"""[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?"""
            r"""[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"""]

SENTENCES = [
    "The kettle had barely boiled when the postman, soaked to the skin, knocked twice.",
    "It's late; they've gone, we'll wait, I'm sure you're tired and he'd rather sleep. Don't!",
    "IT'S LATE; THEY'VE GONE, WE'LL WAIT, I'M SURE YOU'RE TIRED, HE'D RATHER SLEEP. DON'T!",
    "Rock 'n' roll isn't dead, 'tis only resting 'round the o'clock; James' and Jess's dogs agree.",
    "Über den Dächern hängt Nebel, und die Straße riecht nach Äpfeln und nassem Laub.",
    "Où est passé le garçon naïf dont l'œuvre inachevée décorait le café près du château?",
    "El pingüino cruzó la bahía al amanecer; ¿quién lo habría creído? ¡Nadie, mañana menos!",
    "Łódź leży daleko, a żółty pociąg się spóźnia: czekamy więc cierpliwie na świt.",
    "Příliš mnoho koček sedí na střeše, říká dědeček a dolévá čaj.",
    "Đường về nhà hôm nay dài hơn mọi ngày, vì trời mưa và gió thổi ngược.",
    "İstanbul'da ılık bir akşam: çaylar içildi, şarkılar söylendi, ığdır uzakta kaldı.",
    "Þórður átti ævintýri í fjörunni og sagði engum frá því.",
    "Вечером мы сидели на крыльце и слушали, как далеко за рекой лает собака.",
    "Ёжик ел яблоки, а объявление на двери гласило: «Закрыто до весны»...",
    "Їжак з'їв яблуко, і ґава полетіла геть.",
    "Ο ψαράς γύρισε αργά, με τα δίχτυα άδεια, μα το χαμόγελό του ήταν πλατύ.",
    "Ἐν ἀρχῇ ἦν ὁ λόγος τοῦ ποιητοῦ, καὶ οὐδεὶς ἤκουεν.",
    "وصل القطار في الساعة ١٢:٣٥، وكان عدد الركاب ٤٨٧ راكبًا تقريبًا.",
    "کتاب‌ها روی میز بودند و شمارهٔ صفحه ۲۴۶۸ خوانا نبود.",
    "הספינה יצאה מן הנמל בשעה שמונה, ואיש לא נופף לה לשלום.",
    "בְּיוֹם קַיִץ אֶחָד יָשַׁב הַיֶּלֶד עַל הַגָּדֵר.",
    "नदी के किनारे बैठी लड़की ने कहा कि क्षितिज पर बादल १२३ बार गरजे।",
    "வானம் சிவந்தது; பறவைகள் கூட்டுக்குத் திரும்பின.",
    "সকালে কুয়াশা ছিল, তাই নৌকা ছাড়তে ৪৫ মিনিট দেরি হলো।",
    "แมวดำนอนอยู่บนหลังคาทั้งวันไม่ยอมลงมากินข้าวเวลา ๑๘ นาฬิกา",
    "ყოველ დილით მეზობელი ყავას ადუღებს და რადიოს უსმენს.",
    "Գարնանը գետը վարարեց, և կամուրջը փակվեց։",
    "昨天傍晚下了一场大雨，街上的孩子们都光着脚跑回家去了。",
    "山下先生は二〇二四年の春に、小さな本屋をひらいたそうです。カタカナも、ｶﾅも読める。",
    "고양이가 창가에 앉아 눈 내리는 마당을 오래 바라보았다. ㅋㅋㅋ 정말?",
    "ሰላም ለሁሉም፤ ዛሬ ገበያው ሰፊ ነው።",
    "The ﬁrst ofﬁce; ½ cup, x² + y³ = ₁₂, Ⅷ, ①②③, ㊿, 1st–2nd, 3 × 4 ÷ 5 ≈ 2·4, 100 %, №7.",
    "“Quoted” ‘single’ „low“ «guillemets» — em – en … ellipsis • bullet † dagger § 12 ¶",
]

EMOJI = ["👩‍👩‍👧‍👦", "🏳️‍🌈", "🇫🇮🇯🇵🇧🇷", "👍🏽", "❤️", "🧑🏿‍🚀", "☕", "🙂", "🎉🎉🎉", "1️⃣", "🏴󠁧󠁢󠁷󠁬󠁳󠁿", "🤷‍♀️"]

CODE = [
    "def f(x, *args, **kw):\n    if x == 0x1F:\n        return {'a': [1, 2.5e-10, None]}\n\n",
    "for (int i = 0; i < n; ++i) {\r\n\tsum += a[i] * b[i]; // dot\r\n}\r\n",
    "SELECT name, COUNT(*) FROM t WHERE id >= 1000 AND name LIKE '%''s' GROUP BY 1;\n",
    "<div class=\"row\" id='x1'>&nbsp;&amp;</div><!-- note -->\n",
    "#include <vector>\nauto p = std::make_unique<int[]>(1'000'000);\n",
    "\\begin{align} E &= mc^2 \\\\ \\sum_{i=0}^{\\infty} \\end{align}\n",
    "{\"key\":\"va\\u00e9lue\",\"n\":-1.0E+5,\"list\":[[],{}]}\n",
    "https://example.org/a/b-c_d/e.html?q=1&r=%20x#frag  mailto:someone+tag@mail.example.com\n",
    "C:\\Users\\name\\file.txt  ~/src/../bin/run.sh --opt=val -x | tee /dev/null && echo $?\n",
    "camelCaseWord HTTPServerError snake_case_word SCREAMING_CASE kebab-case iPhone McDonald\n",
    "HTTP/2///x a/b\n//\n/\r\n!!!\n\n???\r\n\r\n...\n/ ///\n",
]

SPACES = [" ", " ", " ", " ", "  ", "   ", "       ", "\t", "\t\t", "\n", "\n\n", "\r\n", "\r\n\r\n",
          " \n ", "\n   ", " \t\n", "\u00a0", "\u3000", "\u2009", "\u200b", "\u2028", "\u0085", "\r",
          "\x0b", "\x0c", ""]


def numbers(rng):
    kind = rng.randrange(6)
    if kind == 0:
        return "".join(rng.choice("0123456789") for _ in range(rng.randrange(1, 40)))
    if kind == 1:
        return "".join(rng.choice("٠١٢٣٤٥٦٧٨٩") for _ in range(rng.randrange(1, 12)))
    if kind == 2:
        return "%d,%03d.%02d" % (rng.randrange(999), rng.randrange(999), rng.randrange(99))
    if kind == 3:
        return "%04d-%02d-%02dT%02d:00:00Z" % (rng.randrange(1900, 2100), 1, 2, rng.randrange(24))
    if kind == 4:
        return "".join(rng.choice("१२३๑๒๓①②½¾Ⅳ０９𝟘𝟙") for _ in range(rng.randrange(1, 8)))
    return "0x%X" % rng.randrange(1 << 48)


def random_code_points(rng):
    out = []
    for _ in range(rng.randrange(1, 12)):
        while True:
            kind = rng.randrange(8)
            code = (rng.randrange(0x20, 0x250) if kind < 2 else
                    rng.randrange(0x250, 0x3000) if kind < 4 else
                    rng.randrange(0x3000, 0x10000) if kind < 6 else
                    rng.randrange(0x10000, 0x20000) if kind < 7 else
                    rng.choice([0xE000, 0xE123, 0xF8FF, 0xF0000, 0x10FFFD, 0xFFFE, 0xFDD0, 0xFEFF,
                                0xFFFD, 0x1C89, 0x10D40, 0x10D6E, 0x1CC00, 0x897, 0x113BB, 0x7F, 0x01,
                                0x1B, 0x00, 0x85, 0xAD, 0x2060, 0x20D7, 0xE0001, 0x20000, 0x2EBF0]))
            # Surrogates are no text; what was unassigned in 2021 may be anything to a newer table.
            if kind == 7 or unicodedata.category(chr(code)) not in ("Cs", "Cn"):
                out.append(chr(code))
                break
    return "".join(out)


def marks(rng):
    base = rng.choice("aeioun가कあא")
    pool = "\u0300\u0301\u0302\u0303\u0308\u030a\u0316\u0323\u0327\u0328\u0334\u0345\u05b0\u05bc\u093c\u094d\u3099\u0898\u1abf\U0001e08f"
    return base + "".join(rng.choice(pool) for _ in range(rng.randrange(1, 6)))


def make_text():
    rng = random.Random(20240607)
    parts = []
    for sentence in SENTENCES:
        parts += [sentence, "\n"]
        parts += [unicodedata.normalize("NFD", sentence), "\r\n"]
    for snippet in CODE:
        parts.append(snippet)
    words = sorted({word for sentence in SENTENCES for word in sentence.split()})
    english = [w for s in SENTENCES[:4] for w in s.split()]
    while sum(len(p.encode()) for p in parts) < 100_000:
        kind = rng.randrange(20)
        if kind < 5:
            chosen = [rng.choice(words) for _ in range(rng.randrange(3, 14))]
            parts.append(" ".join(chosen) + rng.choice([". ", "! ", ";\n", "\n\n"]))
        elif kind < 8:
            chosen = [rng.choice(english) for _ in range(rng.randrange(3, 20))]
            style = rng.choice([str.upper, str.title, str.lower, lambda s: s])
            parts.append(style(" ".join(chosen)) + rng.choice([". ", "\n"]))
        elif kind < 10:
            parts.append(rng.choice(CODE))
        elif kind < 12:
            parts.append(numbers(rng) + rng.choice(SPACES))
        elif kind < 13:
            parts.append(random_code_points(rng) + rng.choice(SPACES))
        elif kind < 14:
            parts.append("".join(rng.choice(EMOJI) for _ in range(rng.randrange(1, 4))))
        elif kind < 15:
            parts.append("".join(marks(rng) for _ in range(rng.randrange(1, 5))))
        elif kind < 17:
            parts.append("".join(rng.choice(SPACES) for _ in range(rng.randrange(1, 6))))
        elif kind < 18:
            parts.append(rng.choice(words) + "'" + rng.choice(["s", "S", "ſ", "T", "re", "VE", "vE",
                                                              "m", "LL", "lL", "D", "x", "'s"]))
        elif kind < 19:
            parts.append(unicodedata.normalize("NFD", rng.choice(words)))
        else:
            parts.append(rng.choice(["-", "=", "*", "/", "a", "é", "中", "\n", ".", "0", "'s"]) *
                         rng.randrange(2, 70))
        if rng.randrange(3) == 0:
            parts.append(rng.choice(SPACES))
    return "".join(parts)


def make_special():
    rng = random.Random(7)
    pieces = ["<|bos|>", "<|eot|>", "<s>", "</s>", "<unk>", "<tag>", "<tag2>", "<tag>x", "word",
              "swordfish", "a word.", "word2", "_word", "éword", "Ⓐword", "<left>", "<right>", "<both>",
              "<|endoftext|>", "<|im_start|>user\n", "<|im_end|>", "<file_sep>", "e\u0301toile", "étoile",
              "<0x41>", "▁", "▁word", "Ġ", "<|", "|>", "<|eot", "Hello there", "1234", "日本", "\x1f", ""]
    out = ["<left>"]
    for _ in range(900):
        out.append(rng.choice(pieces))
        out.append(rng.choice([" ", "", "", "  ", "\n", "\t \n", "\u00a0", "\u200b", "x", " x "]))
    return "".join(out)


def added(content, **flags):
    special = flags.pop("special", False)
    options = dict(single_word=False, lstrip=False, rstrip=False, normalized=False)
    options.update(flags)
    return AddedToken(content, special=special, **options)


EXTRA = [added("<tag>"), added("<tag2>", special=True), added("word", single_word=True, normalized=True),
         added("<left>", lstrip=True, special=True), added("<right>", rstrip=True),
         added("<both>", lstrip=True, rstrip=True, normalized=True), added("étoile", normalized=True)]


def train(text, pre_tokenizer, normalizer, size, specials, alphabet):
    tokenizer = Tokenizer(models.BPE())
    if normalizer:
        tokenizer.normalizer = normalizer
    tokenizer.pre_tokenizer = pre_tokenizer
    trainer = trainers.BpeTrainer(vocab_size=size, special_tokens=specials, show_progress=False,
                                  initial_alphabet=alphabet, max_token_length=24)
    tokenizer.train_from_iterator(text.splitlines(keepends=True), trainer)
    return json.loads(tokenizer.to_str())


def byte_level(text, cuts, size, normalizer=None, options=None, merges_as_text=False):
    steps = list(cuts) + [pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=not cuts)]
    tree = train(text, pre_tokenizers.Sequence(steps) if cuts else steps[0], normalizer, size,
                 ["<|bos|>", "<|eot|>"], pre_tokenizers.ByteLevel.alphabet())
    tree["model"].update(options or {})
    if merges_as_text:
        tree["model"]["merges"] = [" ".join(pair) for pair in tree["model"]["merges"]]
    tree["decoder"] = json.loads(decoders.ByteLevel().__getstate__())
    return tree


def isolated(*patterns):
    return [pre_tokenizers.Split(Regex(p), "isolated") for p in patterns]


def sentencepiece(text, size, split):
    """A vocabulary as sentencepiece makes it, with byte tokens and every single character's rank."""
    metaspace = pre_tokenizers.Metaspace(prepend_scheme="always", split=True)
    tree = train(text[:40000], metaspace, None, size, [], [])
    vocab = ["<unk>", "<s>", "</s>"] + ["<0x%02X>" % b for b in range(256)]
    known = sorted(tree["model"]["vocab"], key=tree["model"]["vocab"].get)
    # Rare characters are left to the byte tokens, and so are merges that would need them.
    single = [t for t in known if len(t) == 1 and (text.count(t) > 3 or t == "▁")]
    kept = set(single)
    merges = []
    for left, right in tree["model"]["merges"]:
        if left in kept and right in kept:
            kept.add(left + right)
            merges.append((left, right))
    # Runs of spaces, which published vocabularies have.
    for n in (1, 2, 4):
        run = "▁" * n
        merges.append((run, run))
        kept.add(run + run)
    vocab += [a + b for a, b in dict.fromkeys(merges)] + single
    vocab = list(dict.fromkeys(vocab))
    tree["model"].update(vocab={t: i for i, t in enumerate(vocab)}, unk_token="<unk>", fuse_unk=True,
                         byte_fallback=True, merges=[list(m) for m in merges])
    tree["pre_tokenizer"] = split
    return tree


def replace(old, new):
    return {"type": "Replace", "pattern": {"String": old}, "content": new}


def template(token, token_id, suffix=()):
    pieces = [{"SpecialToken": {"id": token, "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}]
    return {"type": "TemplateProcessing", "single": pieces, "pair": pieces[:1] + pieces[1:],
            "special_tokens": {token: {"id": token, "ids": [token_id], "tokens": [token]}}}


SPM_DECODER = {"type": "Sequence", "decoders": [
    replace("▁", " "), {"type": "ByteFallback"}, {"type": "Fuse"},
    {"type": "Strip", "content": " ", "start": 1, "stop": 0}]}


def make_tokenizers(text):
    made = {}
    made["gpt2"] = byte_level(text, [], 3000, merges_as_text=True)
    made["smollm"] = byte_level(text, [], 2500, merges_as_text=True)
    made["smollm"]["pre_tokenizer"] = json.loads(pre_tokenizers.Sequence([
        pre_tokenizers.Digits(individual_digits=True),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)]).__getstate__())
    made["llama3"] = byte_level(text, isolated(LLAMA3), 3000, options={"ignore_merges": True})
    bos = made["llama3"]["model"]["vocab"]["<|bos|>"]
    made["llama3"]["post_processor"] = {"type": "Sequence", "processors": [
        {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": False, "use_regex": True},
        template("<|bos|>", bos)]}
    # Tokens that no merge makes: only ignore_merges finds them.
    vocab = made["llama3"]["model"]["vocab"]
    for word in (" kettle", " postman", "Über", "昨天傍晚下了一场大雨"):
        mapped = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False).pre_tokenize_str(word)[0][0]
        vocab.setdefault(mapped, len(vocab))
    made["qwen2"] = byte_level(text, isolated(QWEN2), 3000, normalizers.NFC())
    made["qwen35"] = byte_level(text, isolated(QWEN35), 1500, normalizers.NFC())
    made["gpt4o"] = byte_level(text, [pre_tokenizers.Split(Regex(GPT4O), "removed", invert=True)], 1500)
    made["tekken"] = byte_level(text, isolated(TEKKEN), 1500)
    made["deepseek"] = byte_level(text, isolated(*DEEPSEEK), 1500)

    llama2 = sentencepiece(text, 3500, None)
    llama2["normalizer"] = {"type": "Sequence", "normalizers": [
        {"type": "Prepend", "prepend": "▁"}, replace(" ", "▁")]}
    llama2["decoder"] = SPM_DECODER
    llama2["post_processor"] = template("<s>", 1)
    llama2["model"]["merges"] = [" ".join(pair) for pair in llama2["model"]["merges"]]
    made["llama2"] = llama2
    for name, scheme in (("mistral", "first"), ("metaspace", "always")):
        made[name] = sentencepiece(text, 2500, {
            "type": "Metaspace", "replacement": "▁", "prepend_scheme": scheme, "split": name != "mistral"})
        made[name]["decoder"] = SPM_DECODER
        made[name]["post_processor"] = template("<s>", 1)
    made["metaspace"]["decoder"] = made["metaspace"]["pre_tokenizer"]
    made["metaspace"]["model"]["byte_fallback"] = False  # characters become <unk>, runs of them one
    gemma = sentencepiece(text, 2500, {"type": "Split", "pattern": {"String": " "},
                                       "behavior": "MergedWithPrevious", "invert": False})
    gemma["normalizer"] = replace(" ", "▁")
    gemma["decoder"] = {"type": "Sequence", "decoders": SPM_DECODER["decoders"][:3]}
    made["gemma"] = gemma
    return made


def finish(tree):
    """Adds the tokens that special.txt is full of and fixes their ids."""
    tokenizer = Tokenizer.from_str(json.dumps(tree))
    present = [t for t in ("<s>", "</s>", "<unk>") if t in tree["model"]["vocab"]]
    tokenizer.add_special_tokens([added(t, special=True) for t in present])
    tokenizer.add_tokens(EXTRA)
    return tokenizer


def write_ids(name, tokenizer, texts):
    with open(os.path.join(HERE, name + ".ids"), "wb") as out:
        for text, parse in ((texts[0], False), (texts[1], True), (texts[1], False)):
            tokenizer.encode_special_tokens = not parse
            ids = tokenizer.encode(text, add_special_tokens=False).ids
            out.write(struct.pack("<I%dH" % len(ids), len(ids), *ids))


def main():
    print("tokenizers", tokenizers.__version__)
    texts = make_text(), make_special()
    for name, text in zip(("text.txt", "special.txt"), texts):
        with open(os.path.join(HERE, name), "w", encoding="utf-8", newline="") as out:
            out.write(text)
    for name, tree in make_tokenizers(texts[0]).items():
        tokenizer = finish(tree)
        text = json.loads(tokenizer.to_str())
        if isinstance(tree["model"]["merges"][0], str):  # the library writes pairs only
            text["model"]["merges"] = [" ".join(pair) for pair in text["model"]["merges"]]
        with open(os.path.join(HERE, name + ".json"), "w", encoding="utf-8") as out:
            json.dump(text, out, ensure_ascii=False, separators=(",", ":"))
        write_ids(name, tokenizer, texts)
    if len(sys.argv) > 1:
        write_ids("smollm2", Tokenizer.from_file(os.path.join(sys.argv[1], "tokenizer.json")), texts)


if __name__ == "__main__":
    main()
