"""Diets: found, decoded once, checked ever after; what is broken is named."""

import io
import shutil
import tarfile
import zipfile

import numpy as np
import pytest
from PIL import Image

from pipeline.core.errors import BrokenArtifact, LayermapError
from pipeline.training.diets import cifar10
from pipeline.training.diets.cifar10 import FILES, RECORD_BYTES, Cifar10Archive, Cifar10Options
from pipeline.training.diets.decoded import cut_square, open_diet
from pipeline.training.diets.entry import DIETS, OBJECT
from pipeline.training.diets.picture_classes import PictureClassesOptions, open_pictures
from pipeline.training.diets.toy import ToyOptions
from tests.training.conftest import CLASSES, SIZE_PX, patches


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def zipped(folder, path):
    with zipfile.ZipFile(path, "w") as archive:
        for file in sorted(folder.rglob("*.png")):
            archive.write(file, file.relative_to(folder).as_posix())
    return path


def options_of(path, **more):
    return PictureClassesOptions(path=path, size_px=SIZE_PX, **more)


def test_a_folder_and_a_zip_of_it_give_the_same_pictures(picture_folder, tmp_path):
    archive = zipped(picture_folder, tmp_path / "mine.zip")
    folder, packed = (open_diet(options_of(path)) for path in (picture_folder, archive))
    assert folder.facts.labels[OBJECT].classes == tuple(sorted(CLASSES)) and (
        folder.facts.n_train,
        folder.facts.n_test,
    ) == (12, 6)
    for one, other in ((folder.train, packed.train), (folder.test, packed.test)):
        assert np.array_equal(one.values, other.values) and np.array_equal(one.labels[OBJECT], other.labels[OBJECT])
    expected, labels = patches(12, 3)
    names = np.array(CLASSES)[labels]
    for name, number in ((name, number) for number, name in enumerate(names)):
        here = folder.train.values[folder.train.labels[OBJECT] == folder.facts.labels[OBJECT].classes.index(name)]
        assert (here == expected[number]).all((1, 2, 3)).any()


def test_mean_and_sd_are_those_of_the_training_pictures(picture_folder):
    diet = open_diet(options_of(picture_folder))
    shades = diet.train.values.astype(float) / 255
    assert diet.facts.mean == pytest.approx(shades.mean((0, 1, 2)))
    assert diet.facts.sd == pytest.approx(shades.std((0, 1, 2)))


def test_pictures_are_decoded_once_and_anew_when_one_changes(picture_folder, monkeypatch):
    first = open_diet(options_of(picture_folder)).facts
    monkeypatch.setattr("pipeline.training.diets.decoded.cut_square", None)  # would fail if it were called
    assert open_diet(options_of(picture_folder)).facts == first
    monkeypatch.undo()
    Image.fromarray(patches(1, 99)[0][0]).save(picture_folder / "train" / "dark" / "000.png")
    assert open_diet(options_of(picture_folder)).facts.key != first.key


def break_one(folder, n=1):
    for path in sorted(folder.glob("train/*/*.png"))[:n]:
        path.write_bytes(path.read_bytes()[:60])


def test_a_broken_picture_stops_and_is_named(picture_folder):
    break_one(picture_folder)
    with pytest.raises(BrokenArtifact, match=r"train/bright/001\.png.*broken: skip"):
        open_diet(options_of(picture_folder))


def test_a_broken_picture_is_left_out_counted_and_named(picture_folder, capsys):
    break_one(picture_folder)
    diet = open_diet(options_of(picture_folder, broken="skip", most_broken=0.1))
    assert diet.facts.n_train == 11 and diet.facts.skipped == ("train/bright/001.png",)
    assert "warning: left out:" in (said := capsys.readouterr().err) and "train/bright/001.png" in said


def test_test_pictures_that_are_training_pictures_are_left_out_and_said(picture_folder, capsys):
    shutil.copy(picture_folder / "train" / "dark" / "000.png", picture_folder / "test" / "striped" / "same.png")
    diet = open_diet(options_of(picture_folder))
    assert (diet.facts.n_train, diet.facts.n_test) == (12, 6) and diet.facts.repeated == ("test/striped/same.png",)
    assert "1 test picture left out, being equal to training pictures" in capsys.readouterr().err


def test_words_are_those_of_the_recipe_and_decode_nothing_anew(picture_folder):
    first = open_diet(options_of(picture_folder, licence="CC0")).facts
    again = open_diet(options_of(picture_folder, licence="CC BY 4.0", title="mine")).facts
    assert (first.licence, again.licence, again.title, again.key) == ("CC0", "CC BY 4.0", "mine", first.key)


def test_too_many_broken_pictures_stop_always(picture_folder):
    break_one(picture_folder, 3)
    with pytest.raises(
        LayermapError, match=r"2 of 18 pictures are broken, more than the 10\.00% that most_broken allows"
    ):
        open_diet(options_of(picture_folder, broken="skip", most_broken=0.1))


def test_a_broken_member_of_an_archive_is_named(picture_folder, tmp_path):
    break_one(picture_folder)
    archive = zipped(picture_folder, tmp_path / "mine.zip")
    with pytest.raises(BrokenArtifact, match=r"mine\.zip/train/bright/001\.png"):
        open_diet(options_of(archive))


def test_decoded_pictures_that_were_altered_are_refused(picture_folder):
    facts = open_diet(options_of(picture_folder)).facts
    path = next(p for p in (picture_folder.parent / "data").rglob("train.pictures.u8"))
    content = bytearray(path.read_bytes())
    content[100] ^= 1
    path.write_bytes(content)
    with pytest.raises(BrokenArtifact, match=r"train\.pictures\.u8 is missing or was altered"):
        open_diet(options_of(picture_folder))
    shutil.rmtree(path.parent)
    assert open_diet(options_of(picture_folder)).facts == facts


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (["train/a/1.png", "train/b/1.png"], r"no pictures in test/CLASS"),
        (["test/a/1.png"], r"no pictures in train/CLASS"),
        (["train/a/1.png", "val/a/1.png"], r"has one class, 'a'"),
        (["pictures/1.png"], r"no pictures in train/CLASS"),
    ],
)
def test_folders_that_are_no_classes(tmp_path, names, said):
    for name in names:
        (tmp_path / "odd" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "odd" / name).touch()
    with pytest.raises(LayermapError, match=said):
        open_pictures(tmp_path / "odd")


def test_what_is_no_folder_and_no_archive(tmp_path):
    with pytest.raises(LayermapError, match="does not exist"):
        open_pictures(tmp_path / "nothing.zip")
    (tmp_path / "cut.zip").write_bytes(b"PK\x03\x04 and no more")
    with pytest.raises(LayermapError, match="neither a folder nor a zip archive"):
        open_pictures(tmp_path / "cut.zip")


@pytest.mark.parametrize("shape", [(20, 30, 3), (30, 20, 1), (16, 16, 3), (8, 8, 1)])
def test_pictures_become_square(shape):
    made = cut_square(np.full(shape, 77, np.uint8), SIZE_PX)
    assert made.shape == (SIZE_PX, SIZE_PX, 3) and made.dtype == np.uint8 and (made == 77).all()


def official_archive(path, per_file):
    """An archive laid out as CIFAR-10's, of noise."""
    generator = np.random.default_rng(0)
    records = {}
    with tarfile.open(path, "w:gz") as archive:
        for name, _ in FILES:
            block = generator.integers(0, 256, (per_file, RECORD_BYTES), dtype=np.uint8)
            block[:, 0] = np.arange(per_file) % 10
            records[name] = block
            member = tarfile.TarInfo(name)
            member.size = block.nbytes
            archive.addfile(member, io.BytesIO(block.tobytes()))
    return records


def test_the_official_archive_is_read_as_its_authors_describe_it(tmp_path):
    records = official_archive(tmp_path / "cifar.tar.gz", 20)
    source = Cifar10Archive(tmp_path / "cifar.tar.gz", per_file=20)
    assert [sum(one.split == split for one in source.samples) for split in ("train", "test")] == [100, 20]
    third = source.samples[22]  # of the second file
    block = records["cifar-10-batches-bin/data_batch_2.bin"][2]
    picture = source.read(third)
    assert third.number(OBJECT) == 2 and picture.shape == (32, 32, 3)
    assert picture[3, 5].tolist() == [block[1 + colour * 1024 + 3 * 32 + 5] for colour in range(3)]


def test_an_archive_of_another_size_is_refused(tmp_path):
    official_archive(tmp_path / "cifar.tar.gz", 20)
    with pytest.raises(BrokenArtifact, match=r"data_batch_1\.bin has not 92,190 bytes"):
        Cifar10Archive(tmp_path / "cifar.tar.gz", per_file=30)
    (tmp_path / "cut.tar.gz").write_bytes((tmp_path / "cifar.tar.gz").read_bytes()[:1000])
    with pytest.raises(BrokenArtifact, match=r"cut\.tar\.gz cannot be read"):
        Cifar10Archive(tmp_path / "cut.tar.gz", per_file=20)


def test_the_official_archive_comes_through_fetch_with_a_receipt(tmp_path, monkeypatch):
    """From a mirror; other bytes than its authors publish are refused."""
    place = tmp_path / "mirror" / "www.cs.toronto.edu" / "~kriz" / "cifar-10-binary.tar.gz"
    place.parent.mkdir(parents=True)
    official_archive(place, 20)
    with pytest.raises(LayermapError, match="bytes"):
        open_diet(Cifar10Options(), str(tmp_path / "mirror"))
    import hashlib

    content = place.read_bytes()
    told = {"bytes": len(content), "md5": hashlib.md5(content).hexdigest()}
    monkeypatch.setattr(cifar10, "ARCHIVE", cifar10.ARCHIVE.model_copy(update=told))
    monkeypatch.setattr(cifar10, "Cifar10Archive", lambda path: Cifar10Archive(path, per_file=20))
    diet = open_diet(Cifar10Options(), str(tmp_path / "mirror"))
    assert (diet.facts.n_train, diet.facts.n_test) == (100, 20)
    assert (tmp_path / "data" / "raw" / "diets" / "cifar10" / "receipt.json").is_file()


def test_the_toy_has_balanced_classes_and_no_patch_on_both_sides():
    diet = open_diet(ToyOptions(n_train=90, n_test=45))
    assert (
        np.bincount(diet.train.labels[OBJECT]).tolist() == [10] * 9
        and np.bincount(diet.test.labels[OBJECT]).tolist() == [5] * 9
    )
    train = {picture.tobytes() for picture in diet.train.values}
    assert not train & {picture.tobytes() for picture in diet.test.values}


def test_entries_say_what_a_card_needs():
    for kind in DIETS:
        entry = DIETS.get(kind)
        options = entry.options(path="x.zip") if kind in ("pictures", "clips", "both") else entry.options()
        assert entry.title(options) and entry.licence(options)


@pytest.mark.slow
def test_real_pictures(shared_diets):
    source = open_pictures(shared_diets / "images" / "imagenette-72px.zip")
    assert len(source.label_sets[OBJECT].classes) == 10 and len(source.samples) == 13_394
    assert cut_square(source.read(source.samples[0]), 64).shape == (64, 64, 3)
