#!/usr/bin/env python3
"""The report's page in a real browser: that it draws, answers and lets no name out of its text. Skipped (77) without one.

usage: report_test.py WRITE_REPORT [--screenshots FOLDER] [CASE ...]      the case Names needs no browser
"""
import json
import pathlib
import re
import subprocess
import sys
import tempfile
import unicodedata
import unittest

sys.dont_write_bytecode = True
import browser
import report_documents

SKIPPED = 77
SECTIONS = ["errors", "tensors", "alpha", "channels", "weights", "sizes", "windows", "made"]
PLOTS = ["errors", "alpha", "channels", "weights", "sizes", "windows"]
# Elements of plots with a number that is none.
BROKEN = """[...document.querySelectorAll('figure svg *')].map(e => e.outerHTML).filter(t => /NaN|undefined|Infinity/.test(t))"""
program, screenshots = None, None


def visible(words):
    return "".join(f"\\u{ord(c):04x}" if unicodedata.category(c) in ("Cc", "Cf", "Zl", "Zp") else c for c in words)


class Report(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        cls.path = pathlib.Path(cls.folder.name)
        cls.browser = browser.Browser(browser.find_browser())
        cls.addClassCleanup(cls.folder.cleanup)
        cls.addClassCleanup(cls.browser.close)

    def write(self, document, name):
        (self.path / "document.json").write_text(json.dumps(document))
        path = self.path / name
        path.unlink(missing_ok=True)
        done = subprocess.run([program, self.path / "document.json", path], capture_output=True, text=True)
        self.assertEqual(done.returncode, 0, done.stderr)
        return path

    def show(self, document, **how):
        page = self.write(document, "report.html")
        self.browser.open(page, **how)
        self.quiet(page)
        return page

    def quiet(self, page):
        """The script ran to its end, complained of nothing and asked for nothing."""
        self.assertEqual(self.browser.messages, [])
        self.assertEqual(self.browser.requests, [page.resolve().as_uri()])
        self.assertTrue(self.browser.js("document.getElementById('made') !== null"))

    def js(self, expression):
        return self.browser.js(expression)

    def count(self, selector):
        return self.js(f"document.querySelectorAll({json.dumps(selector)}).length")

    def readout(self, section, index=0):
        return self.js(f"document.querySelectorAll('#{section} .readout')[{index}].textContent")

    def first_names(self, count=3):
        return self.js(f"[...document.querySelectorAll('#tensors .tall tbody tr:not([hidden]) th')].slice(0, {count}).map(e => e.textContent)")

    def head(self, label):
        return f"[...document.querySelectorAll('#tensors .tall th button')].find(b => b.textContent === '{label}')"

    def test_page_shows_everything(self):
        document = report_documents.document()
        self.show(document)
        self.assertEqual(self.js("[...document.querySelectorAll('section')].map(e => e.id)"), SECTIONS)
        self.assertEqual(self.count(".missing"), 0)
        self.assertEqual(self.count("#errors rect.cell"), 7 * 30)
        self.assertEqual(self.count("#tensors .tall tbody tr"), len(document["tensors"]))
        for section in PLOTS:
            self.assertEqual(self.js(f"document.querySelector('#{section} figure svg').getAttribute('role')"), "img", section)
            self.assertTrue(self.js(f"document.querySelector('#{section} figure svg').getAttribute('aria-label').length > 10"), section)
        header = self.js("document.querySelector('header').innerText")
        for words in ("smollm2-gptq.sqf", "30.78", "29.43", "+4.58 ± 0.16 %", "0.0502", "89.3 %", "4.97"):
            self.assertIn(words, header)
        worst = sorted((t for t in document["tensors"] if t["output_error"]), key=lambda t: -t["output_error"]["after"])
        self.assertEqual(self.js("[...document.querySelectorAll('#tensors .scroll:not(.tall) tbody th')].map(e => e.textContent)"),
                         [t["name"] for t in worst[:10]])
        made = self.js("document.getElementById('made').innerText")
        for words in (document["recipe"]["command"], "fedcba9876543210", "0123456789abcdef", document["warnings"][0], "8f1c0e5b7a2d4c36"):
            self.assertIn(words, made)
        # Nothing lies outside its plot, no axis reads NaN.
        self.assertEqual(self.js(BROKEN), [])
        self.assertEqual(self.js("""[...document.querySelectorAll('figure svg')].flatMap(f => { const o = f.getBoundingClientRect();
            return [...f.querySelectorAll('rect,circle,text,path')].map(e => [e.getBoundingClientRect(), e.outerHTML]).filter(([b]) =>
            b.width && (b.left < o.left - 2 || b.right > o.right + 2 || b.top < o.top - 2 || b.bottom > o.bottom + 2)).map(x => x[1]); })"""), [])

    def test_table_sorts_and_filters(self):
        document = report_documents.document()
        page = self.show(document)
        tensors = document["tensors"]
        self.browser.click(self.head("Weights’ error"))
        falling = [t["name"] for t in sorted(tensors, key=lambda t: -t["relative_error"])]
        self.assertEqual(self.first_names(len(tensors)), falling)
        self.assertEqual(self.js("document.querySelectorAll('#tensors [aria-sort]').length"), 1)
        self.assertEqual(self.js(self.head("Weights’ error") + ".parentNode.getAttribute('aria-sort')"), "descending")
        self.browser.click(self.head("Weights’ error"))
        self.assertEqual(self.first_names(len(tensors)), falling[::-1])
        self.browser.click(self.head("Output error"))
        self.browser.click(self.head("Output error"))
        self.assertEqual(self.first_names(1000)[-1], "model.embed_tokens.weight", "unknown figures come last")
        self.browser.click(self.head("Tensor"))
        self.assertEqual(self.first_names(), ["model.embed_tokens.weight", "model.layers.0.mlp.down_proj.weight",
                                              "model.layers.0.mlp.gate_proj.weight"])
        self.browser.click("document.getElementById('filter')")
        self.browser.type("layers.7. ATTN")
        self.assertEqual(self.first_names(9), [f"model.layers.7.self_attn.{p}_proj.weight" for p in "koqv"])
        self.assertIn("4 of 211", self.js("document.getElementById('tensors').innerText"))
        self.js("(s => { s.value = [...s.options].find(o => o.text === 'v').value; s.dispatchEvent(new Event('change')); })(document.querySelector('#tensors select'))")
        self.assertEqual(self.first_names(9), ["model.layers.7.self_attn.v_proj.weight"])
        self.quiet(page)

    def test_plots_tell_their_figures(self):
        document = report_documents.document()
        page = self.show(document)
        wanted = next(t for t in document["tensors"] if t["layer"] == 3 and t["role"] == "k")
        cell = "document.querySelectorAll('#errors rect.cell')[1 * 30 + 3]"
        self.browser.move(*self.browser.place(cell))
        told = self.readout("errors")
        self.assertIn(wanted["name"], told)
        self.assertIn("Layer 3, k: weights %s" % float("%.3g" % wanted["relative_error"]), told)
        self.js("document.querySelector('#errors svg[tabindex]').focus({preventScroll: true})")
        for key, place in (("Home", "Layer 0, q:"), ("ArrowRight", "Layer 1, q:"), ("ArrowDown", "Layer 1, k:"), ("ArrowLeft", "Layer 0, k:"),
                           ("ArrowLeft", "Layer 0, k:"), ("ArrowUp", "Layer 0, q:"), ("End", "Layer 29, down:")):
            self.browser.key(key)
            self.assertIn(place, self.readout("errors"))
        for section in PLOTS:
            self.js(f"document.querySelector('#{section} figure svg').focus()")
            self.browser.key("Home")
            first = self.readout(section)
            self.assertGreater(len(first.strip()), 10, section)
            self.assertNotIn("arrow keys", first, section)
            self.browser.key("ArrowDown" if section == "sizes" else "ArrowRight")
            self.assertNotEqual(self.readout(section), first, section)
            self.assertEqual(self.js(f"document.querySelector('#{section} .cursor').getAttribute('visibility')"), "visible")
            self.browser.click(f"document.querySelector('#{section} summary')")
            self.assertGreater(self.count(f"#{section} details tbody tr"), 0, section)
        fills = "[...document.querySelectorAll('#errors rect.cell')].map(e => getComputedStyle(e).fill).join()"
        seen = {self.js(fills)}
        for value in ("before", "ratio", "weights"):
            self.browser.click(f"document.querySelector('#errors input[value={value}]')")
            seen.add(self.js(fills))
        self.assertEqual(len(seen), 4, "each measure has its own picture")
        self.assertEqual(self.count("#errors details[open]"), 0)
        self.quiet(page)

    def test_channels_are_chosen_by_site_and_layer(self):
        document = report_documents.document()
        page = self.show(document)
        choose = "(i => (v => {{ const s = document.querySelectorAll('#channels select')[i]; s.value = [...s.options].find(o => o.text === v).value; s.dispatchEvent(new Event('change')); }}))({})({!r})"
        self.js(choose.format(0, "input of down"))
        self.js(choose.format(1, "17"))
        self.browser.settle()
        given = next(i for i in document["inputs"] if i["layer"] == 17 and i["site"] == "down")
        self.js("document.querySelector('#channels figure svg').focus()")
        self.browser.key("Home")
        self.assertIn("rank 1 reaches %s." % format(float("%.3g" % given["range_before"]["max"]), "g"), self.readout("channels"))
        self.browser.click("document.querySelector('#channels summary')")
        outliers = sorted(given["outliers"], key=lambda c: -given["range_before"]["abs_max"][c])
        self.assertEqual(self.js("[...document.querySelectorAll('#channels tbody th')].map(e => e.textContent)"), [str(c) for c in outliers])
        self.assertEqual(self.js("document.querySelectorAll('#channels select')[1].options.length"), 30)
        self.js(choose.format(0, "input of the head"))
        self.assertEqual(self.js("document.querySelectorAll('#channels select')[1].options.length"), 1)
        self.quiet(page)

    def test_keyboard_reaches_everything(self):
        self.show(report_documents.document(4, 32))
        reached = set()
        for _ in range(90):
            self.browser.key("Tab")
            reached.add(self.js("(e => (e.closest('section') || {id: 'header'}).id + ' ' + e.tagName.toLowerCase())(document.activeElement)"))
        for section in PLOTS:
            self.assertIn(f"{section} svg", reached)
            self.assertIn(f"{section} summary", reached)
        for wanted in ("errors input", "tensors button", "tensors input", "tensors select", "tensors div", "channels select", "weights select", "header a"):
            self.assertIn(wanted, reached)

    def test_names_cannot_leave_their_text(self):
        document = report_documents.hostile()
        page = self.show(document)
        self.assertIsNone(self.js("window.taken"))
        self.assertIsNone(self.js("({}).taken"))
        self.assertEqual(self.js("[document.scripts.length, document.images.length, document.querySelectorAll('iframe,object,link,base').length]"), [2, 0, 0])
        names = self.js("[...document.querySelectorAll('#tensors .tall tbody th')].map(e => e.textContent)")
        self.assertEqual(names, [visible(t["name"]) for t in document["tensors"]])
        self.assertEqual(self.js("[...document.querySelectorAll('.warnings li')].map(e => e.textContent)"), [visible(w) for w in report_documents.HOSTILE])
        self.assertIn("\\u202egnp.exe\\u2028\\u2029\\u0000", names)
        self.assertEqual(self.js("document.body.innerText.includes('[object')"), False)
        self.assertEqual(self.js("document.body.innerText.match(/[\\u202a-\\u202e\\u2066-\\u2069]/)"), None)
        self.assertEqual(self.js("JSON.parse(document.getElementById('report').textContent).tensors.length"), len(document["tensors"]))
        text = page.read_text()
        self.assertEqual((text.count("<script"), text.count("</script"), text.count("<!--")), (2, 2, 0))
        for width in (1200, 390):
            self.browser.look(width)
            self.browser.settle()
            self.assertLessEqual(self.js("document.documentElement.scrollWidth"), width)

    def test_a_page_that_is_broken_out_of_would_be_seen(self):
        """The check above can fail: a page without the escape is caught by it."""
        page = self.write(report_documents.hostile(), "report.html")
        page.write_text(page.read_text().replace("\\u003c", "<"))
        self.browser.open(page)
        self.assertEqual(self.js("window.taken"), 1)

    def test_large_models_make_small_pages(self):
        document = report_documents.document(80, 8192)
        page = self.show(document)
        self.assertLess(page.stat().st_size, 3_000_000)
        self.assertEqual(self.count("#errors rect.cell"), 560)
        self.assertEqual(self.count("#tensors .tall tbody tr"), 561)
        data = self.js("(i => [i.range_before.ranks, i.range_before.values])(JSON.parse(document.getElementById('report').textContent).inputs[2])")
        given = sorted(document["inputs"][2]["range_before"]["abs_max"], reverse=True)
        self.assertEqual((data[0][:3], data[0][-1]), ([1, 2, 3], 8192))
        self.assertLess(len(data[0]), 120)
        self.assertEqual(data[1], [float("%.4g" % given[rank - 1]) for rank in data[0]])
        took = self.js("performance.getEntriesByType('navigation')[0].loadEventEnd")
        print(f"80 layers, 8192 channels: page {page.stat().st_size / 1e6:.2f} MB, loaded in {took:.0f} ms")
        if screenshots:
            self.browser.screenshot(screenshots / "large.png")

    def test_what_is_missing_says_how_to_get_it(self):
        self.show(report_documents.uncalibrated())
        words = self.js("[...document.querySelectorAll('.missing')].map(e => e.textContent).join('\\n')")
        for option in ("--eval TEXT", "--calib TEXT", "--method"):
            self.assertIn(option, words)
        self.assertEqual(self.js("[...document.querySelectorAll('section')].map(e => e.id)"), [s for s in SECTIONS if s != "windows"])
        self.assertEqual(self.count("#errors rect.cell"), 210)
        if screenshots:
            self.browser.screenshot(screenshots / "uncalibrated.png")

    def test_odd_documents_still_make_a_page(self):
        nothing = {key: None for key in report_documents.document(1, 32)}
        few = report_documents.document(1, 32)
        few["tensors"], few["inputs"], few["evaluation"]["per_window"] = few["tensors"][:1], few["inputs"][:1], few["evaluation"]["per_window"][:1]
        zeros = report_documents.document(2, 32)
        for t in zeros["tensors"]:
            t.update(relative_error=0, output_error={"before": 0, "after": 0}, clipped=0, weight_range_before={"abs_max": 0, "q99": 0}, bytes=0)
        for i in zeros["inputs"]:
            i.update(range_before={"abs_max": [0] * 32, "q50": 0, "q99": 0, "max": 0}, range_after=None)
        wrong = {key: "?" for key in nothing}
        deep = report_documents.document(1, 32)
        deep["inputs"] = [None, 3, {"range_before": {"abs_max": "?"}, "outliers": [-1, 1e300, "x", None, 2 ** 63]}, *deep["inputs"]]
        deep["tensors"] = [None, [], {"name": None}, *deep["tensors"]]
        for document in ({}, nothing, few, zeros, wrong, deep):
            self.show(document)
            self.assertEqual(self.js(BROKEN), [])

    def test_every_width_in_light_and_dark(self):
        document = report_documents.document()
        background = {}
        for name, width, dark in (("wide", 1200, False), ("wide-dark", 1200, True), ("phone", 390, False), ("phone-dark", 390, True)):
            self.show(document, width=width, dark=dark)
            self.assertLessEqual(self.js("document.documentElement.scrollWidth"), width, name)
            background[name] = self.js("getComputedStyle(document.body).backgroundColor")
            self.assertEqual(self.js("[...document.querySelectorAll('figure svg')].filter(e => Math.abs(e.viewBox.baseVal.width - e.clientWidth) > 1).length"), 0)
            if screenshots:
                self.browser.screenshot(screenshots / f"{name}.png")
        self.assertEqual(background, {"wide": "rgb(255, 255, 255)", "phone": "rgb(255, 255, 255)",
                                      "wide-dark": "rgb(20, 23, 27)", "phone-dark": "rgb(20, 23, 27)"})
        # Text against its background, as WCAG counts it.
        for dark in (False, True):
            self.browser.look(1200, dark=dark)
            for variable in ("--ink", "--soft", "--c0", "--c1", "--c2", "--c3", "--c4"):
                self.assertGreater(self.contrast(variable), 4.5 if variable in ("--ink", "--soft") else 3, (variable, dark))

    def contrast(self, variable):
        values = self.js(f"['{variable}', '--paper'].map(v => getComputedStyle(document.documentElement).getPropertyValue(v).trim())")
        light = []
        for value in values:
            parts = [int(value[i:i + 2], 16) / 255 for i in (1, 3, 5)]
            linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
            light.append(0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2])
        return (max(light) + 0.05) / (min(light) + 0.05)

    def test_layout_stays_where_it_was_drawn(self):
        self.show(report_documents.document())
        shifts = self.js("""new Promise(done => { let sum = 0; new PerformanceObserver(l => l.getEntries().forEach(e => { sum += e.value; }))
            .observe({type: 'layout-shift', buffered: true}); setTimeout(() => done(sum), 300); })""")
        self.assertEqual(shifts, 0)
        tall = self.js("document.documentElement.scrollHeight")
        self.browser.move(*self.browser.place("document.querySelectorAll('#errors rect.cell')[40]"))
        self.browser.click("document.querySelector('#errors input[value=ratio]')")
        self.assertEqual(self.js("document.documentElement.scrollHeight"), tall)

    def test_page_needs_nothing_but_itself(self):
        text = self.write(report_documents.document(2, 32), "report.html").read_text()
        outside = [u for u in re.findall(r"(?:https?:)?//[\w.-]+\.\w+[^\s'\"]*", text)]
        self.assertEqual(outside, ["http://www.w3.org/2000/svg"])
        self.assertNotRegex(text, r"<(link|img|iframe|object)|\bsrc=|@import|url\(|fetch\(|XMLHttpRequest|innerHTML")


class Names(unittest.TestCase):
    def test_name_says_what_is_written(self):
        with tempfile.TemporaryDirectory() as folder:
            folder = pathlib.Path(folder)
            document = report_documents.document(1, 32)
            (folder / "in.json").write_text(json.dumps(document))
            run = lambda name: subprocess.run([program, folder / "in.json", folder / name], capture_output=True, text=True)
            self.assertEqual(run("out.json").returncode, 0)
            self.assertEqual(json.loads((folder / "out.json").read_text()), document)
            self.assertEqual(run("out.html").returncode, 0)
            again = run("out.html")
            self.assertEqual(again.returncode, 3)
            self.assertIn("exists already", again.stderr)
            for name in ("out.htm", "out", ".html", "out.html.txt"):
                refused = run(name)
                self.assertEqual(refused.returncode, 2, name)
                self.assertIn(".html or .json", refused.stderr)
            self.assertEqual(sorted(p.name for p in folder.iterdir()), ["in.json", "out.html", "out.json"])


if __name__ == "__main__":
    arguments = sys.argv[1:]
    if not arguments:
        sys.exit(__doc__)
    program = str(pathlib.Path(arguments.pop(0)).resolve())
    if arguments[:1] == ["--screenshots"]:
        screenshots = pathlib.Path(arguments[1])
        screenshots.mkdir(parents=True, exist_ok=True)
        arguments = arguments[2:]
    if browser.find_browser() is None and arguments != ["Names"]:
        print("no Chromium")
        sys.exit(SKIPPED)
    unittest.main(argv=[sys.argv[0], *arguments])
