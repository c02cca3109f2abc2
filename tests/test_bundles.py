"""Bundles: what is written is read back, and whatever was altered or does not fit is refused."""

import io
import json
import pickle
import subprocess
import sys
import zipfile

import numpy as np
import pytest

from larun import bundles
from larun.bundles import BUNDLE_FILES, MANIFEST, load_bundle, manifest_digest, save_bundle, seal
from larun.errors import BundleError
from larun.objects import Root
from larun.schema import CLASSES

CALIBRATION = {"temperature": 1.5, "bias": [0.1, 0, 0, 0, 0, -0.1]}


@pytest.fixture
def bundle():
    files = {name: f"bytes of {name}".encode() for name in BUNDLE_FILES}
    return seal({"name": "small", "version": "0001", "calibration": CALIBRATION}, files)


@pytest.fixture
def folder(bundle, tmp_path):
    save_bundle(bundle, Root(str(tmp_path)), "models/small/0001")
    return tmp_path / "models/small/0001"


def rewrite(folder, **changes):
    """Change a manifest the way a careful person would: with its digest brought up to date."""
    manifest = json.loads((folder / MANIFEST).read_text()) | changes
    manifest["digest"] = manifest_digest(manifest)
    (folder / MANIFEST).write_text(json.dumps(manifest))


@pytest.mark.parametrize("spec", ["small", "small/0001"])
def test_found_below_a_root(bundle, folder, tmp_path, spec):
    found = load_bundle(spec, Root(str(tmp_path)))
    assert found == bundle
    assert found.digest == bundle.digest
    assert found.int8_model == b"bytes of model_int8.tflite"
    assert found.temperature == 1.5
    assert found.bias == pytest.approx(np.array([0.1, 0, 0, 0, 0, -0.1]))
    assert "small/0001" in repr(found)


def test_found_by_its_folder(bundle, folder):
    assert load_bundle(str(folder)) == bundle


def test_pickles(bundle):
    assert pickle.loads(pickle.dumps(bundle)) == bundle


def test_without_a_version_the_last_complete_one_is_taken(bundle, folder, tmp_path):
    root = Root(str(tmp_path))
    newer = seal({"name": "small", "version": "0002", "calibration": CALIBRATION}, bundle.files)
    save_bundle(newer, root, "models/small/0002")
    root.write("models/small/0003/model.keras", b"a writer that was killed")
    assert load_bundle("small", root).version == "0002"


def test_from_s3_like_roots(bundle):
    root = Root("memory://bundles-of-a-test")
    save_bundle(bundle, root, "models/small/0001")
    assert load_bundle("small/0001", root) == bundle


def test_equal_content_is_equal_digest_and_any_change_is_another(bundle):
    again = seal({"version": "0001", "calibration": CALIBRATION, "name": "small"}, dict(bundle.files))
    assert again.digest == bundle.digest
    for name in BUNDLE_FILES:
        other = seal({"name": "small", "version": "0001", "calibration": CALIBRATION}, bundle.files | {name: b"x"})
        assert other.digest != bundle.digest
    assert seal({"name": "small", "version": "0002", "calibration": CALIBRATION}, bundle.files).digest != bundle.digest


def test_an_incomplete_bundle_is_not_sealed(bundle):
    with pytest.raises(BundleError, match=r"missing: model\.tflite"):
        seal({}, {name: data for name, data in bundle.files.items() if name != "model.tflite"})


@pytest.mark.parametrize("name", [*BUNDLE_FILES, MANIFEST])
def test_a_missing_file_is_named(folder, name):
    (folder / name).unlink()
    with pytest.raises(BundleError, match=name.replace(".", r"\.")):
        load_bundle(str(folder))


@pytest.mark.parametrize("name", BUNDLE_FILES)
def test_a_flipped_bit_is_noticed(folder, name):
    data = bytearray((folder / name).read_bytes())
    data[3] ^= 1
    (folder / name).write_bytes(data)
    with pytest.raises(BundleError, match=rf"SHA-256 of {name} should be \w+ and is \w+"):
        load_bundle(str(folder))


def test_an_edited_manifest_is_noticed(folder):
    text = (folder / MANIFEST).read_text().replace('"temperature": 1.5', '"temperature": 0.5')
    (folder / MANIFEST).write_text(text)
    with pytest.raises(BundleError, match="digest of the manifest should be"):
        load_bundle(str(folder))


@pytest.mark.parametrize("text", ["not json", "[]", "{}", '{"files": 1}'])
def test_something_else_is_no_manifest(folder, text):
    (folder / MANIFEST).write_text(text)
    with pytest.raises(BundleError, match="is no manifest"):
        load_bundle(str(folder))


def test_other_classes_are_refused(folder):
    rewrite(folder, classes=["noise", "planet"])
    with pytest.raises(BundleError, match=r"classes should be \['noise', .* and is \['noise', 'planet'\]"):
        load_bundle(str(folder))


def test_another_view_definition_is_refused(folder):
    rewrite(folder, view_definition={"version": 0})
    with pytest.raises(BundleError, match=r"view definition should be .*'version': 3.* and is \{'version': 0\}"):
        load_bundle(str(folder))


def test_another_format_is_refused(folder):
    rewrite(folder, format=99)
    with pytest.raises(BundleError, match="format should be 1 and is 99"):
        load_bundle(str(folder))


def test_another_list_of_files_is_refused(folder):
    rewrite(folder, files={"../../secret": "0" * 64})
    with pytest.raises(BundleError, match="list of files should be"):
        load_bundle(str(folder))


def test_a_bundle_may_hold_more_files_and_none_outside_of_its_folder(bundle, tmp_path):
    more = seal(bundle.manifest, bundle.files | {"plots/roc.png": b"png", "split.csv": b"star,side"})
    save_bundle(more, Root(str(tmp_path)), "models/more/0001")
    assert load_bundle(str(tmp_path / "models/more/0001")) == more
    for name in ("../up.png", "/etc/passwd", "plots/../../x", ".hidden"):
        outside = seal(bundle.manifest, bundle.files | {name: b"x"})
        (tmp_path / "out" / MANIFEST).parent.mkdir(exist_ok=True)
        (tmp_path / "out" / MANIFEST).write_text(json.dumps(outside.manifest))
        with pytest.raises(BundleError, match="names outside of the folder"):
            load_bundle(str(tmp_path / "out"))


def test_a_promoted_bundle_is_the_default_of_its_root(bundle, folder, tmp_path):
    root = Root(str(tmp_path))
    assert load_bundle("default", root) == load_bundle("shipped")
    assert bundles.promote(root, "small") == bundle
    assert load_bundle("default", root) == bundle
    assert load_bundle("default") == load_bundle("shipped", root)
    newer = seal({"name": "small", "version": "0002", "calibration": CALIBRATION}, bundle.files)
    save_bundle(newer, root, "models/small/0002")
    assert load_bundle("default", root) == bundle, "a newer version is promoted only when asked"
    bundles.promote(root, "shipped")
    assert load_bundle("default", root) == load_bundle("shipped")


def test_a_promoted_bundle_that_was_replaced_is_refused(bundle, folder, tmp_path):
    root = Root(str(tmp_path))
    bundles.promote(root, "small/0001")
    rewrite(folder, calibration={"temperature": 9.0, "bias": [0] * 6})
    with pytest.raises(BundleError, match="digest of the promoted bundle should be"):
        load_bundle("default", root)


def test_a_bundle_outside_of_the_root_is_not_promoted(folder, tmp_path):
    with pytest.raises(BundleError, match=r"lies outside of .*copy it to .*models/small/0001"):
        bundles.promote(Root(str(tmp_path / "other")), str(folder))


def archive(config="{}", **members):
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w") as file:
        file.writestr("config.json", config)
        for name, content in members.items():
            file.writestr(name, content)
    return written.getvalue()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (archive(**{"evil.pkl": b"x"}), r"it holds evil\.pkl"),
        (archive(json.dumps({"class_name": "Lambda"})), "holds a Lambda"),
        (archive(json.dumps({"config": {"function": {"class_name": "__lambda__"}}})), "holds a Lambda"),
    ],
)
def test_code_in_the_network_is_refused_on_load(bundle, tmp_path, content, said):
    changed = seal(bundle.manifest, bundle.files | {bundles.KERAS_FILE: content})
    save_bundle(changed, Root(str(tmp_path)), "b")
    with pytest.raises(BundleError, match=said):
        load_bundle(str(tmp_path / "b"))


@pytest.mark.parametrize("spec", ["nothing", "nothing/0001", "/no/such/folder"])
def test_an_unknown_bundle_says_where_it_was_looked_for(tmp_path, spec):
    with pytest.raises(BundleError, match="there is no bundle") as error:
        load_bundle(spec, Root(str(tmp_path)))
    assert spec in str(error.value)


def test_the_default_bundle_is_whole():
    bundle = load_bundle("default")
    assert len(bundle.int8_model) < 25_000
    assert set(bundle.files) >= set(BUNDLE_FILES)
    metrics, data = bundle.manifest["metrics"], bundle.manifest["data"]
    for source, counts in data["views"]["test"].items():
        assert metrics[source]["views"] == sum(counts.values())
        assert np.sum(metrics[source]["confusion"], axis=1).tolist() == [counts[name] for name in CLASSES]
    confusion = np.array(metrics["all"]["confusion"])
    assert metrics["all"]["accuracy"]["value"] == pytest.approx(np.trace(confusion) / confusion.sum(), abs=1e-4)
    assert bundle.manifest["float_vs_int8"]["distinct_levels"] >= 64
    assert "TIC 261136679" in data["held_out_stars"]


def test_the_card_of_the_default_bundle_follows_from_its_manifest():
    from larun.network.card import model_card

    bundle = load_bundle("default")
    assert bundle.files[bundles.CARD_FILE].decode() == model_card(bundle.manifest)


def test_reading_a_bundle_loads_no_tensorflow():
    code = "import sys; from larun.bundles import load_bundle; load_bundle('default'); "
    code += "sys.exit(any(name in sys.modules for name in ('tensorflow', 'keras', 'ai_edge_litert')))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
