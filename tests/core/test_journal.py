from __future__ import annotations

import pytest
from pyarrow import fs

from raynas import journal
from raynas.errors import InputError
from raynas.storage import LocalFolder, RemoteFolder, remove

FACTS = [{"kind": "run", "n": 1}, {"kind": "report", "value": 0.1, "text": "|skip~0|"}]


@pytest.fixture(params=["local", "remote"])
def place(request, tmp_path):
    if request.param == "local":
        return LocalFolder(tmp_path / "run")
    return RemoteFolder(fs.LocalFileSystem(), str(tmp_path / "run"), "store://run")


def test_what_is_appended_is_read_back_in_order(place):
    book = journal.open_for_append(place)
    book.append(FACTS[:1])
    book.append(FACTS[1:])
    book.append([])
    assert journal.read(place) == FACTS
    book.close()


def test_a_reopened_journal_goes_on_at_its_end(place):
    for fact in FACTS:
        book = journal.open_for_append(place)
        book.append([fact])
        book.close()
    assert journal.read(place) == FACTS


def test_a_folder_without_a_journal_is_refused(place):
    with pytest.raises(InputError, match="not a run directory"):
        journal.read(place)


@pytest.mark.parametrize("cut", range(1, 30))
def test_a_line_torn_by_a_kill_is_dropped_and_the_journal_goes_on(tmp_path, cut):
    place = LocalFolder(tmp_path)
    with journal.FileJournal(tmp_path) as book:
        book.append(FACTS)
    path = tmp_path / journal.FILE
    path.write_bytes(path.read_bytes()[:-cut])
    assert journal.read(place) == FACTS[:1]
    with journal.FileJournal(tmp_path) as book:
        book.append([{"kind": "later"}])
    assert journal.read(place) == [FACTS[0], {"kind": "later"}]


def test_damage_that_no_kill_explains_is_refused_with_its_line(tmp_path):
    (tmp_path / journal.FILE).write_text('{"kind":"run"}\n{"kind":\n{"kind":"report"}\n')
    with pytest.raises(InputError, match=r"journal\.jsonl:2: damaged"):
        journal.read(LocalFolder(tmp_path))


def test_a_second_writer_is_refused_while_the_first_holds_the_journal(tmp_path):
    with journal.FileJournal(tmp_path), pytest.raises(InputError, match="another process is running this"):
        journal.FileJournal(tmp_path)
    journal.FileJournal(tmp_path).close()


def test_opening_for_append_leaves_nothing_behind_that_was_not_there(tmp_path):
    with journal.FileJournal(tmp_path) as book:
        book.append(FACTS)
    before = (tmp_path / journal.FILE).read_bytes()
    journal.FileJournal(tmp_path).close()
    assert (tmp_path / journal.FILE).read_bytes() == before


def test_a_folder_holds_what_was_written_to_it_and_removes_folders_whole(place):
    place.write("a.bin", b"1")
    place.write("a.bin", b"22")
    place.child("inner").write("b.bin", b"3")
    assert place.names() == ["a.bin", "inner"]
    assert place.read("a.bin") == b"22"
    remove(place, "inner")
    remove(place, "inner")
    assert place.names() == ["a.bin"]
    assert place.child("nowhere").names() == []


def test_a_storage_of_no_known_scheme_is_refused():
    from raynas.storage import folder

    with pytest.raises(InputError, match="cannot be used as storage"):
        folder("nowhere://bucket/run")
