"""The sources of the element agree with its manifest, and its languages with each other. It takes no Node."""

import json
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "clients" / "element"
SOURCES = FOLDER / "src"
MANIFEST = json.loads((FOLDER / "custom-elements.json").read_text())
PACKAGE = json.loads((FOLDER / "package.json").read_text())
DECLARED = {one["tagName"]: one for module in MANIFEST["modules"] for one in module["declarations"]}
# What each element has for itself. The inbox has what is not listed.
OTHERS = {"bellwire-badge": {"badge.ts"}, "bellwire-preferences": {"preferences.ts", "choosing.ts"}}
COMMON = {"element.ts", "dom.ts", "feed.ts", "pending.ts", "strings.ts", "styles.ts", "v1.ts"}
LANGUAGES = sorted(path.stem for path in (SOURCES / "languages").glob("*.ts"))
# Of CLDR, for whole numbers and fractions.
CATEGORIES = {
    "ar": {"zero", "one", "two", "few", "many", "other"},
    "de": {"one", "other"},
    "es": {"one", "many", "other"},
    "fr": {"one", "many", "other"},
    "ja": {"other"},
    "pt": {"one", "many", "other"},
}


def own(tag: str) -> str:
    """The text of an element's own files."""
    if tag in OTHERS:
        names = OTHERS[tag]
    else:
        names = {path.name for path in SOURCES.glob("*.ts")} - COMMON - set().union(*OTHERS.values())
    return "\n".join((SOURCES / name).read_text() for name in sorted(names))


def class_of(tag: str) -> str:
    """The text of an element's class, without what comes before and after it in its file."""
    text = (SOURCES / f"{tag.removeprefix('bellwire-')}.ts").read_text()
    return text[text.index("\nexport class ") : text.index("\n}\n")]


def base() -> str:
    text = (SOURCES / "element.ts").read_text()
    return text[text.index("\nexport abstract class ") : text.index("\n}\n", text.index("abstract class"))]


def quoted(text: str) -> set[str]:
    return set(re.findall(r"'([\w-]+)'", text))


def members(text: str, pattern: str) -> set[str]:
    return {name for name in re.findall(pattern, text, re.MULTILINE) if name not in LIFE}


LIFE = {"constructor", "connectedCallback", "disconnectedCallback", "attributeChangedCallback"}
ELEMENTS = pytest.mark.parametrize("tag", ["bellwire-inbox", "bellwire-badge", "bellwire-preferences"])


def names(tag: str, kind: str) -> set[str]:
    return {one["name"] for one in DECLARED[tag].get(kind, ())}


def named_members(tag: str, kind: str) -> set[str]:
    return {one["name"] for one in DECLARED[tag]["members"] if one["kind"] == kind}


def test_the_manifest_is_of_the_version_that_tools_read() -> None:
    assert MANIFEST["schemaVersion"] == "1.0.0"
    assert PACKAGE["customElements"] == "custom-elements.json"
    (module,) = MANIFEST["modules"]
    assert f"./{module['path']}" == PACKAGE["exports"]["."]["default"]
    defined = quoted((SOURCES / "v1.ts").read_text().partition("const ELEMENTS")[2].partition("}")[0])
    assert set(DECLARED) == defined
    for kind, exported in (("js", "name"), ("custom-element-definition", "tagName")):
        assert {one["name"] for one in module["exports"] if one["kind"] == kind} == {
            one[exported] for one in DECLARED.values()
        }


@ELEMENTS
def test_it_lists_the_attributes_and_the_property_of_each(tag: str) -> None:
    (array,) = re.findall(r"SHARED = \[(.*?)\]", (SOURCES / "element.ts").read_text(), re.DOTALL)
    shared = quoted(array)
    text = own(tag)
    arrays = re.findall(r"(?:OWN = |observedAttributes = )\[(.*?)\]", text, re.DOTALL)
    attributes = shared | set().union(*map(quoted, arrays))

    assert names(tag, "attributes") == attributes
    properties = {one["attribute"]: one["name"] for one in DECLARED[tag]["members"] if "attribute" in one}
    assert properties == {name: re.sub("-(.)", lambda found: found[1].upper(), name) for name in attributes}


@ELEMENTS
def test_it_lists_the_other_properties_and_the_methods(tag: str) -> None:
    text = base() + class_of(tag)
    setters = members(text, r"^  set (\w+)\(")
    fields = members(text, r"^  ([a-z]\w*)(?:: .+)? = .+;$") | setters
    methods = members(text, r"^  (?:async )?([a-z]\w*)\(.*\{$")
    reflected = {one["name"] for one in DECLARED[tag]["members"] if "attribute" in one}

    assert named_members(tag, "field") - reflected == fields
    assert named_members(tag, "method") == methods


@ELEMENTS
def test_it_lists_the_events(tag: str) -> None:
    assert names(tag, "events") == {
        f"bellwire-{name}" for name in re.findall(r"\.tell\(\s*'([\w-]+)'", own(tag) + base())
    }


@ELEMENTS
def test_it_lists_the_slots(tag: str) -> None:
    found = re.findall(r"(?:'slot', \{ name: |\bslot\()'(\w+)'", own(tag))

    assert names(tag, "slots") == set(found)


@ELEMENTS
def test_it_lists_the_parts(tag: str) -> None:
    texts = re.findall(r"\bpart: ([^,}\n]+)", own(tag))
    parts = {
        part for text in texts for words in re.findall(r"['`]([^'`]*)['`]", text) for part in words.split()
    }

    assert names(tag, "cssParts") == parts


@ELEMENTS
def test_it_lists_the_custom_properties(tag: str) -> None:
    used = set(re.findall(r"var\((--bellwire-[\w-]+)", (SOURCES / "styles.ts").read_text() + own(tag)))

    assert names(tag, "cssProperties") == used


@ELEMENTS
def test_everything_is_described(tag: str) -> None:
    one = DECLARED[tag]
    listed = [
        item
        for kind in ("attributes", "members", "events", "cssParts", "cssProperties")
        for item in one[kind]
    ]

    assert [item["name"] for item in [*listed, *one.get("slots", ())] if not item.get("description")] == []


@ELEMENTS
def test_the_reference_names_everything(tag: str) -> None:
    text = (FOLDER / "README.md").read_text()
    kinds = ("attributes", "members", "events", "slots", "cssParts", "cssProperties")
    listed = [item for kind in kinds for item in DECLARED[tag].get(kind, ()) if "attribute" not in item]

    assert [item["name"] for item in listed if not re.search(rf"`{item['name']}(?:\(\))?`", text)] == []


@pytest.mark.parametrize("reader", ["NVDA", "JAWS", "VoiceOver", "TalkBack"])
def test_the_docs_name_what_no_machine_has_checked(reader: str) -> None:
    text = (ROOT / "docs" / "embedding.md").read_text()

    assert reader in text.partition("**not been checked**")[2]


# --- languages ---


def texts(source: str) -> dict[str, str]:
    """The entries of a Strings, by name; those with plural forms in braces."""
    return dict(
        re.findall(r"^  (\w+): ('(?:[^'\\]|\\.)*'|\"[^\"]*\"|\{.*?\}),$", source, re.MULTILINE | re.DOTALL)
    )


ENGLISH = texts(
    (SOURCES / "strings.ts").read_text().partition("english: Strings = {")[2].partition("\n};")[0]
)


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_language_has_every_text_with_the_same_holes(language: str) -> None:
    found = texts((SOURCES / "languages" / f"{language}.ts").read_text())

    assert set(found) == set(ENGLISH)
    for name, text in found.items():
        holes = [set(re.findall(r"\{(\w+)\}", one)) for one in (text, ENGLISH[name])]
        assert holes[0] == holes[1], name


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_form_that_the_language_needs_is_there(language: str) -> None:
    """A category that is absent falls back to `other`, which is right only where both are the same."""
    found = texts((SOURCES / "languages" / f"{language}.ts").read_text())
    for name, text in found.items():
        forms = set(re.findall(r"\b(zero|one|two|few|many|other):", text)) if text.startswith("{") else set()
        assert not forms or "other" in forms, name
        assert forms <= CATEGORIES[language], name
        if language == "ar" and forms:
            assert forms == CATEGORIES["ar"], name


def test_every_language_is_loaded_on_demand() -> None:
    imported = re.findall(
        r"(\w+): \(\) => import\('\./languages/(\w+)\.js'\)", (SOURCES / "strings.ts").read_text()
    )

    assert [name for name, _ in imported] == [file for _, file in imported] == LANGUAGES
    assert LANGUAGES == ["ar", "de", "es", "fr", "ja", "pt"]
