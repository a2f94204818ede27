"""What README and docs tell people to type exists, and is said in plain technical English.

`PLAIN_WORDS` is the word list: to add a word, add one line.
"""

import itertools
import json
import re
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from tests import prose

from genmint import cli

ROOT = Path(__file__).parents[1]
README, CHINESE = ROOT / "README.md", ROOT / "README.zh-CN.md"
PAGES = sorted([README, CHINESE, *(ROOT / "docs").glob("*.md"), ROOT / "data" / "README.md"])
LONGEST_LINE = 120
LONGEST_SENTENCE = 35

_FOLLOWS = (
    "that|which|whose|is|was|has|had|of|on|in|with|from|to|by|at|for|and|or|over|than|as|can|may|"
    "does|goes|starts|begins|ends|fails|failed|waits|dies|died|will|must|killed|whatever"
)
# Regular expression (a blank stands for any white space) -> what to write instead. Case is ignored;
# inline code is not read, so `in backticks` a name of the program may be any word.
PLAIN_WORDS = {
    # Training and models.
    r"trainings": "training runs",
    rf"(?:an?|each|every|one|another|first|second|whose) training(?= (?:{_FOLLOWS})\b|[.,;:)])": (
        "a training run"
    ),
    r"(?:the|this|that|its) training (?:goes|ends|ended|dies|died|waits|fails|failed|begins|began|"
    r"was killed|is killed|that)": "the training run",
    r"pictures?": "image, spectrogram",
    r"sounds": "audio clips",
    r"(?:text|images|pictures|grids|clips|seconds?) (?:and|or|of) sound": "audio",
    r"(?:learn|learns|learnt|learned|know|knows|knew|learning)(?: \S+){0,4} by heart": "memorise",
    r"by heart": "memorise",
    r"(?:an?|each|its|every) turn(?! of)": "optimizer phase",
    r"the two circle|circles or collapses|keeps? (?:the two )?from circling": "oscillate",
    r"dead posterior": "collapsed posterior",
    r"ways between": "interpolations between",
    r"(?:tell|tells|told|telling)(?: \S+)? apart": "distinguish",
    r"touchy": "sensitive to its settings",
    r"surely": "classified with confidence above …; 95 % lower confidence bound",
    # Cost and remedies.
    r"dearer": "more expensive",
    r"(?:is|are|too) dear": "expensive",
    r"prices?": "penalty, cost",
    r"for nothing": "at no cost, not penalised",
    r"ails?|ailing|ills?(?!-)|diseases?|cures?|cured": "failure mode, symptom, remedy",
    r"heals?|healed|healing": "is restored, recovers",
    r"mend|mends|mended|mending": "fix, repair",
    r"lest": "so that … not",
    r"(?:the|a|its|with the|no|another) way out": "remedy",
    # Going back.
    r"(?:put|puts|putting)(?: (?:it|them|him|this|that|one|those))? back": "revert, restore",
    r"(?:give|gives|gave|given|giving)(?: (?:it|them|this|that))? back": "return, restore",
    r"half-done": "interrupted",
    r"honou?rs?|honou?red": "accept",
    # Decisions.
    r"(?:a|the|its|every|each|is|no) (?:no|yes)(?= is\b| with\b|[,.;:)]|$)": "failed, passed",
    r"(?:is|are) content(?![-\w])": "reports no problems",
    r"rulings?": "result",
    r"contests?|contested": "comparison with the champion",
    r"standings?": "registry state",
    r"grounds": "hash of the gate's inputs; reasons",
    r"settled": "finalised",
    r"floors? of shame": "minimum, baseline",
    r"no business of": "ignored by",
    # Settings and data.
    r"knobs?": "setting",
    r"(?<!residual\x20)blocks? (?:of|in|under) (?:params\.yaml|the map|\x01)": "entry",
    r"(?:model's|data set's|gate's|recipe's|gate|its own) blocks?": "entry",
    r"(?:edits?|changes?|files?) that lies? about": "uncommitted changes",
    # Runs and processes.
    r"(?:the|a|last|each) night's|lose a night|as for the night": "nightly run",
    r"crews?": "process group",
    r"shelf|shelves": "store, record",
    r"(?:an?|each|every|one|the next|the last|the latest) looks?": "drift check, check",
    r"wardens?": "cleanup watchdog",
    r"mortal": "ends with its parent (die_with_parent)",
    r"at hand": "available",
    r"amiss": "wrong",
    r"ruins?|ruined": "slow down, damage",
    r"rolls? dice|rolling dice": "chance",
    r"hears? of": "is notified of",
    r"lately": "latest, last",
    r"what (?:becomes|became|comes|came) of": "the result of, the effect of",
    r"more or less in the": "added to or removed from the",
    r"calls? home": "sends telemetry",
    r"outright": "directly",
    r"stars of mkdtemp": "mkdtemp appends eight random characters",
}
# What a translation has in common with its original: it falls behind in none of these.
SHARED = {
    "levels of headings": lambda text: re.findall(r"^#+(?= )", _without_code(text), re.M),
    "images": lambda text: re.findall(r"!\[[^\]]*\]\(([^)]+)\)", _without_code(text)),
    # A heading has another name in another language, so the anchor may differ.
    "links": lambda text: [
        target.partition("#")[0]
        for target in re.findall(r"(?<!!)\[[^\]]*\]\(([^)]+)\)", _without_code(text))
        if not target.startswith("README")
    ],
    # Their order within a section is that of the sentences, which differs between languages.
    "inline code": lambda text: [
        sorted(re.findall(r"`([^`\n]+)`", section))
        for section in re.split(r"^#", _without_code(text), flags=re.M)
    ],
    "list items": lambda text: [
        len(re.findall(r"^- ", section, re.M)) for section in re.split(r"^#", text, flags=re.M)
    ],
    "figures of tables": lambda text: [
        re.findall(r"\d+(?:\.\d+)?", row) for row in re.findall(r"^\|.*$", text, re.M)
    ],
}
_DIALECT = {
    re.compile(rf"(?<![\w-])(?:{word.replace(' ', chr(92) + 's+')})(?!\w)", re.IGNORECASE): plain
    for word, plain in PLAIN_WORDS.items()
}
TEXTS = {
    **{str(page.relative_to(ROOT)): prose.markdown for page in PAGES},
    **dict.fromkeys(("params.yaml", "prefect.yaml", "dvc.yaml"), prose.yaml),
    "Makefile": prose.makefile,
}
# Packages and modules of src/genmint, and pipelines.
PACKAGES = sorted(
    {path.name for path in (ROOT / "src/genmint").iterdir() if list(path.glob("*.py"))}
    | {path.name for path in (ROOT / "src/genmint").glob("*.py")}
    | {"pipelines"}
)


def _without_code(text):
    return re.sub(r"^```.*?^```$", "", text, flags=re.M | re.S)


def differences(original, translation):
    """What a translation lacks or has too much, by the names of `SHARED` and of code blocks."""
    blocks = [re.findall(r"^```.*?^```$", text, re.M | re.S) for text in (original, translation)]
    found = [] if blocks[0] == blocks[1] else ["code blocks"]
    return found + [name for name, of in SHARED.items() if of(original) != of(translation)]


def dialect(where, text):
    """Each word of the list in a text, as `file:line: word -> plain word`."""
    found = [
        (match.start(), f"{where}:{prose.line_of(text, match.start())}: "
         f"{' '.join(match[0].split())!r} -> {plain}")
        for word, plain in _DIALECT.items()
        for match in word.finditer(text)
    ]  # fmt: skip
    return [line for _, line in sorted(found)]


def commands(page):
    """Lines of code blocks and pieces of inline code."""
    text = page.read_text(encoding="utf-8")
    blocks = re.findall(r"```(?:sh|bash|console)?\n(.*?)```", text, flags=re.DOTALL)
    inline = re.findall(r"`([^`\n]+)`", re.sub(r"```.*?```", "", text, flags=re.DOTALL))
    return [line.strip() for block in blocks for line in block.splitlines()] + inline


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_make_target_and_verb_exists(page):
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE))
    shown = subprocess.run(
        [sys.executable, "-m", "genmint", "--help"], capture_output=True, text=True, check=True
    ).stdout
    verbs = set(re.findall(r"^  (\w+)  ", shown, flags=re.MULTILINE))
    assert "promote" in verbs
    for command in commands(page):
        for target in re.findall(r"\bmake ([a-z][a-z-]*)\b", command):
            assert target in targets, command
        for verb in re.findall(r"(?:^|&& |; )genmint ([a-z]+)\b", command):
            assert verb in verbs, command


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_into_the_project_leads_somewhere(page):
    for target in re.findall(r"\]\(([^)#\s]+)", page.read_text(encoding="utf-8")):
        if "://" not in target:
            assert (page.parent / target).exists(), target


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_path_into_the_sources_exists(page):
    for path in re.findall(
        r"`((?:src|tests|benchmarks|config|docs|pipelines|scripts|requirements)/[^`\s]*)`",
        page.read_text(encoding="utf-8"),
    ):
        if not re.search(r"/[A-Z]+(?:[./]|$)", path):  # X and NAME stand for a name
            before, _, rest = path.partition("{")
            inside, _, after = rest.partition("}")
            for each in inside.split(","):
                assert (ROOT / f"{before}{each}{after}").exists(), path


def test_the_readme_lists_every_directory():
    table = (ROOT / "README.md").read_text(encoding="utf-8").partition("## Directories")[2]
    listed = set()
    for cell in re.findall(r"^\| (.+?) \|", table, flags=re.MULTILINE):
        for path in re.findall(r"`([^`]+)`", cell):
            before, _, rest = path.partition("{")
            inside, _, after = rest.partition("}")
            listed |= {f"{before}{each}{after}".strip("/") for each in inside.split(",")}
    tracked = subprocess.run(
        ["git", "ls-files"], capture_output=True, text=True, check=True, cwd=ROOT
    ).stdout.split("\n")
    folders = {path.split("/")[0] for path in tracked if "/" in path and path[0] != "."}
    packages = {
        f"src/genmint/{name}" for name in PACKAGES if (ROOT / "src/genmint" / name).is_dir()
    }
    top = {path.split("/")[0] for path in listed}
    assert folders - top == set()
    assert packages - listed == set()


def test_every_dependency_has_a_pin():
    """requirements/constraints.txt pins all that pip would install for genmint.

    CUDA's packages follow from torch; setuptools comes with the interpreter, and which one fits
    depends on its version.
    """
    pins = set()
    for line in (ROOT / "requirements/constraints.txt").read_text().splitlines():
        if "==" in line:
            pins.add(re.sub(r"[-_.]+", "-", line.partition("==")[0]).lower())
    wanted, seen = ["genmint"], set()
    while wanted:
        name = re.sub(r"[-_.]+", "-", wanted.pop()).lower()
        if name in seen or name.startswith(("nvidia-", "cuda-", "triton", "setuptools")):
            continue
        seen.add(name)
        assert name == "genmint" or name in pins, f"{name} has no pin: run `make lock`"
        for requirement in metadata.requires(name) or []:
            found = Requirement(requirement)
            if found.marker is not None and not found.marker.evaluate({"extra": ""}):
                continue
            try:
                metadata.distribution(found.name)
            except metadata.PackageNotFoundError:
                continue
            wanted.append(found.name)


def test_the_environment_is_the_one_that_was_tested_together():
    report = json.loads(
        subprocess.run(
            [sys.executable, "-m", "pip", "list", "--format", "json"],
            capture_output=True,
            text=True,
            check=True,
        ).stdout
    )
    installed = {
        re.sub(r"[-_.]+", "-", item["name"]).lower(): item["version"].partition("+")[0]
        for item in report
    }
    for line in (ROOT / "requirements/constraints.txt").read_text().splitlines():
        name, separator, version = line.partition("==")
        name = re.sub(r"[-_.]+", "-", name).lower()
        if separator and name in installed:
            assert installed[name] == version, name


@pytest.mark.parametrize("name", TEXTS)
def test_pages_are_in_plain_english(name):
    text = TEXTS[name]((ROOT / name).read_text(encoding="utf-8"))
    assert (found := dialect(name, text)) == [], "\n".join(found)


@pytest.mark.parametrize("name", PACKAGES)
def test_docstrings_and_comments_are_in_plain_english(name):
    folder = ROOT / name if name == "pipelines" else ROOT / "src/genmint" / name
    found = []
    for path in sorted(folder.rglob("*.py")) if folder.is_dir() else [folder]:
        text = prose.python(path.read_text(encoding="utf-8"))
        found += dialect(str(path.relative_to(ROOT)), text)
    assert found == [], "\n".join(found)


def test_help_texts_are_in_plain_english(capsys):
    def shown(*arguments):
        assert cli.run([*arguments, "--help"]) == 0
        return capsys.readouterr().out

    overview = shown()
    verbs = re.findall(r"^  ([a-z]+)  ", overview, flags=re.MULTILINE)
    assert {"promote", "train"} <= set(verbs)
    found = dialect("genmint --help", overview)
    for verb in verbs:
        found += dialect(f"genmint {verb} --help", shown(verb))
    assert found == [], "\n".join(found)


@pytest.mark.parametrize(
    ("read", "text", "found"),
    [
        (prose.markdown, "The two trainings\n\nare a\ntraining that ended.", ["x:1", "x:3"]),
        (prose.markdown, "A training run, a training set: `trainings`, [t](trainings.md).", []),
        (prose.markdown, "```sh\nsound sounds  # trainings\n```", ["x:2"]),
        (prose.markdown, "Text\n\n    spread --trainings 5   # 5 trainings\n", ["x:3"]),
        (prose.markdown, "It is content. Its content is content-addressed.", ["x:1"]),
        (prose.markdown, "A no is a result; a no-op is not; no longer a no.", ["x:1", "x:1"]),
        (prose.markdown, "They put it\nback.", ["x:1"]),
        (prose.yaml, "crew: shelf  # a crew\n", ["x:1"]),
        (prose.yaml, "description: mends `crew`\nname: crew\n", ["x:1"]),
        (prose.makefile, "crew: shelf ## the price\n", ["x:1"]),
        (prose.python, 'def crew():\n    """Mends it.\n\n    Surely.\n    """\n', ["x:2", "x:4"]),
        (prose.python, "crew = 'shelf'  # a price\n# by\n# heart\n", ["x:1", "x:2"]),
    ],
)
def test_the_word_list_finds_the_dialect(read, text, found):
    shown = [line.partition(": ")[0] for line in dialect("x", read(text))]
    assert list(dict.fromkeys(shown)) == list(dict.fromkeys(found))


@pytest.mark.parametrize("name", [str(page.relative_to(ROOT)) for page in PAGES])
def test_lines_of_pages_are_short(name):
    text = prose.markdown((ROOT / name).read_text(encoding="utf-8"), code=prose.blank)
    long = [
        f"{name}:{number}: {len(line)} characters"
        for number, line in enumerate(text.split("\n"), 1)
        if len(line.rstrip()) > LONGEST_LINE and not line.startswith("|")
    ]
    assert long == [], "\n".join(long)


@pytest.mark.parametrize("name", [str(page.relative_to(ROOT)) for page in PAGES])
def test_sentences_of_pages_are_short(name):
    long = [
        f"{name}:{line}: {count} words: {sentence}"
        for line, sentence in prose.sentences((ROOT / name).read_text(encoding="utf-8"))
        if (count := prose.words(sentence)) > LONGEST_SENTENCE
    ]
    assert long == [], "\n".join(long)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_anchor_of_a_link_is_a_heading(page):
    for target, anchor in re.findall(r"\]\(([^)#\s]*)#([^)\s]+)\)", page.read_text("utf-8")):
        if "://" not in target:
            text = (page.parent / target if target else page).read_text(encoding="utf-8")
            headings = re.findall(r"^#+ (.+)$", re.sub(r"```.*?```", "", text, flags=re.S), re.M)
            slugs = {re.sub(r"[^\w -]", "", each.lower()).replace(" ", "-") for each in headings}
            assert anchor in slugs, f"{target}#{anchor}"


def test_the_chinese_readme_is_as_far_as_the_english_one():
    english, chinese = (path.read_text(encoding="utf-8") for path in (README, CHINESE))
    assert f"]({CHINESE.name})" in english[:200]
    assert f"]({README.name})" in chinese[:200]
    assert differences(english, chinese) == []


@pytest.mark.parametrize(
    ("before", "after", "found"),
    [
        ("make run  ", "make  run  ", ["code blocks"]),
        ("## Licence", "### Licence", ["levels of headings"]),
        ("docs/images/report.png", "docs/images/explore.png", ["images"]),
        ("](docs/tutorial.md)", "](docs/stages.md)", ["links"]),
        ("`genmint status`", "`genmint report`", ["inline code"]),
        ("\n- Everything runs", "\n- Telemetry.\n- Everything runs", ["list items"]),
        ("Fréchet distance 7.3", "Fréchet distance 7.1", ["figures of tables"]),
        ("## Licence", "## 许可证", []),
    ],
)
def test_a_translation_that_falls_behind_is_noticed(before, after, found):
    english = README.read_text(encoding="utf-8")
    assert before in english
    assert differences(english, english.replace(before, after, 1)) == found


def test_lines_of_the_chinese_readme_end_with_sentences():
    """Browsers show the end of a line as a blank, which Chinese has between no two characters."""
    text = prose.markdown(CHINESE.read_text(encoding="utf-8"), code=prose.blank)
    for line, following in itertools.pairwise(text.split("\n")):
        if following.strip() and not re.match(r"[-|#!]|\d\.", following.strip()):
            assert line.rstrip()[-1:] in {"", *"，。；：、！？"}, line
