"""A table of tags goes on from what is there: a run each night reads and encodes what is new or has
changed, and nothing else, and each row that is there stays."""
import csv
import errno
import os
import re
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from unittest import mock

import numpy as np
import pandas as pd
import pytest
from conftest import ROOT, photos_in

from taidpt.all import FrozenCLIP
from taidpt.apps import report
from taidpt.apps.cli import main
from taidpt.encoders import pictures
from taidpt.files import from_cell, split_labels

PHOTOS = sorted((ROOT/'taidpt/data/coco_demo/images').iterdir())[:6]

pytestmark = [pytest.mark.xdist_group('cli'), pytest.mark.usefixtures('one_clip')]


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    "A folder of four photos, in the folder at hand"
    monkeypatch.chdir(tmp_path)
    Path('photos').mkdir()
    for photo in PHOTOS[:4]: shutil.copy(photo, 'photos')
    return Path('photos')


@pytest.fixture
def night(folder, capsys):
    "A run: exit status, the photos that were read, how many were encoded, standard error"

    def run(*options, classes='person,dog', out='tags.csv', threshold=.1):
        read, encode = pictures._read, FrozenCLIP.encode_maps
        with mock.patch.object(pictures, '_read', side_effect=read) as reads, \
                mock.patch.object(FrozenCLIP, 'encode_maps', autospec=True,
                                  side_effect=encode) as encodes:
            status = main(['tag', 'photos', '--classes', classes, '--out', out,
                           '--threshold', threshold, *options])
        names = [Path(call.args[0]).name for call in reads.call_args_list]
        encoded = sum(photos_in(call.args[1]) for call in encodes.call_args_list)
        return status, names, encoded, capsys.readouterr().err

    return run


@contextmanager
def stopped_after_8() -> Iterator[list[int]]:
    "Ctrl-C once eight photos are encoded; how many were, batch by batch"
    encode, seen = FrozenCLIP.encode_maps, []

    def stopped(clip, pixels, *args, **how):
        if sum(seen) >= 8: raise KeyboardInterrupt
        seen.append(len(pixels))
        return encode(clip, pixels, *args, **how)

    with mock.patch.object(FrozenCLIP, 'encode_maps', stopped): yield seen


def rows(path='tags.csv') -> dict[str, dict]:
    with open(path, newline='', encoding='utf-8-sig') as f:
        return {Path(row['picture']).name: row for row in csv.DictReader(f)}


def test_a_second_night_reads_nothing(night):
    "And writes the same bytes"
    assert night('--scores')[:3] == (0, [photo.name for photo in PHOTOS[:4]], 4)
    before = Path('tags.csv').read_bytes(), Path('.tags.csv.scores').read_bytes()
    status, read, encoded, err = night('--scores')
    assert (status, read, encoded) == (0, [], 0)
    assert '4 of 4 pictures have the scores of an earlier run' in err
    assert before == (Path('tags.csv').read_bytes(), Path('.tags.csv.scores').read_bytes())


def test_one_new_one_gone_one_changed_in_place(night, folder):
    "The changed one has the size and the date that it had"
    night()
    changed = folder/PHOTOS[2].name
    about = changed.stat()
    assert PHOTOS[5].stat().st_size < about.st_size
    padded = PHOTOS[5].read_bytes().ljust(about.st_size - 2, b'\0')
    changed.write_bytes(padded + b'\xff\xd9')             # the mark at the end of a JPEG
    os.utime(changed, ns=(about.st_atime_ns, about.st_mtime_ns))
    shutil.copy(PHOTOS[4], folder)
    (folder/PHOTOS[0].name).unlink()
    status, read, encoded, err = night('--scores')
    assert (status, read, encoded) == (0, [PHOTOS[2].name, PHOTOS[4].name], 2)
    assert '2 of 4 pictures' in err
    found = rows()
    assert list(found) == [photo.name for photo in PHOTOS[:5]]     # the new one below the others
    head = len(Path('.tags.csv.scores').read_bytes().split(b'\n')[0]) + 1
    assert Path('.tags.csv.scores').stat().st_size == head + 4*(16 + 2*4 + 4)
    night('--scores', out='anew.csv')                       # as of a run that begins
    for name, row in rows('anew.csv').items():
        if name != changed.name: assert row['tags'] == found[name]['tags']
        for column in ('person', 'dog'):
            assert float(row[column]) == pytest.approx(float(found[name][column]), abs=2e-4)


def test_scores_stay_where_only_thresholds_change(night):
    "Rows stay, too; without the table, all are written anew from the scores"
    night(threshold=-9)
    before = Path('tags.csv').read_bytes()
    assert {row['tags'].count(',') for row in rows().values()} == {1}
    status, read, encoded, err = night(threshold=9)
    assert (status, read, encoded) == (0, [], 0) and 'tags.csv: 4 of 4 pictures keep their' in err
    assert Path('tags.csv').read_bytes() == before
    Path('tags.csv').unlink()
    assert night(threshold=9)[1:3] == ([], 0)
    assert {row['tags'] for row in rows().values()} == {''}


def test_a_corrected_table_stays(night, folder):
    "Its tags and its own columns, whatever the model; a new picture gets a row"
    night('--scores')
    with open('tags.csv', newline='', encoding='utf-8') as f: head, *table = csv.reader(f)
    table = [[picture, 'zebra', *others, 'seen'] for picture, _, *others in table]
    with open('tags.csv', 'w', newline='', encoding='utf-8-sig') as f:      # as of a spreadsheet
        csv.writer(f, lineterminator='\r\n').writerows([[*head, 'note'], *table])
    corrected = rows()
    shutil.copy(PHOTOS[4], folder/'0 new.jpg')
    for classes in ('person,dog', 'person,cat'):
        assert night('--scores', classes=classes)[0] == 0
        found = rows()
        assert list(found) == [*corrected, '0 new.jpg'] and found['0 new.jpg']['note'] == ''
        for name, row in corrected.items(): assert found[name].items() >= row.items()
    Path('tags.csv').write_text('picture,tags\nphotos/a.jpg,dog,a note without a heading\n')
    status, read, _, err = night()
    assert (status, read) == (1, []) and 'tags.csv: give each column a heading' in err


def test_another_model_scores_all(night):
    "In one line"
    night()
    status, read, encoded, err = night(classes='person,cat')
    assert status == 0 and len(read) == encoded == 4
    [told] = [line for line in err.splitlines() if 'another model' in line]
    assert '.tags.csv.scores' in told and 'all pictures are scored anew' in told
    assert 'another model' not in night(classes='person,cat')[3]
    assert night('--tiles', '2', classes='person,cat')[2] > 4


def test_a_stop_loses_nothing(night, folder):
    "Neither what was there nor what the stopped run has scored; the table stays meanwhile"
    night()
    table = Path('tags.csv').read_bytes()
    for i in range(20): shutil.copy(PHOTOS[4], folder/f'0 {i:02}.jpg')      # before the others
    with stopped_after_8() as seen:
        status = main(['tag', 'photos', '--classes', 'person,dog', '--out', 'tags.csv',
                       '--threshold', '.1'])
    assert status == 130 and Path('tags.csv').read_bytes() == table
    status, _, encoded, err = night()
    assert (status, encoded) == (0, 20 - sum(seen))
    assert f'{4 + sum(seen)} of 24 pictures' in err and len(rows()) == 24


def test_a_broken_picture_is_tried_each_night(night, folder):
    "It may be one that was being copied; what was kept behind it counts"
    night()
    (folder/'0.jpg').write_bytes(PHOTOS[4].read_bytes()[:900])
    status, _, _, err = night()
    assert status == 1 and 'the scores of 4 of 5 pictures are kept' in err
    for _ in range(2):
        status, read, *_ = night('--on-error', 'skip')
        assert status == 0 and set(read) == {'0.jpg'} and rows()['0.jpg']['error']
    shutil.copy(PHOTOS[4], folder/'0.jpg')
    assert night()[1:3] == (['0.jpg'], 1) and rows()['0.jpg']['error'] == ''


def test_no_table_for_an_empty_folder(night, folder):
    "Which may be a disk that is not mounted"
    night()
    table = Path('tags.csv').read_bytes()
    folder.rename('elsewhere')
    folder.mkdir()
    assert night()[0] == 1 and Path('tags.csv').read_bytes() == table
    folder.rmdir()
    Path('elsewhere').rename(folder)
    assert night()[1:3] == ([], 0)


def test_files_that_are_passed_over_are_counted(night, folder):
    for name in ('a.heic', 'b.HEIC', 'c.txt', '.hidden.heic'): (folder/name).touch()
    err = night()[3]
    assert 'passed over in the folders: 2 .heic, 1 .txt; only' in err
    assert '.jpg' in err and 'passed over' not in night('--quiet')[3]


@pytest.mark.skipif(os.name == 'nt', reason='links need a privilege there')
def test_links_that_lead_nowhere_are_counted(night, folder):
    "Such as those to a disk that is not mounted; alone, no ending is recommended"
    for name in ('a.jpg', 'album'): (folder/name).symlink_to('gone')
    assert 'passed over in the folders: 2 links that lead nowhere\n' in night()[3]
    (folder/'b.heic').touch()
    assert '2 links that lead nowhere, 1 .heic; only' in night()[3]


def test_thumbnails_of_a_report_are_no_pictures(night, folder, monkeypatch):
    "Beyond 300 photos, a report in their folder has thumbnails beside it"
    monkeypatch.setattr(report, '_ONE_FILE', 3)
    page = folder/'tags.html'
    for _ in range(2):
        assert night('--report', page)[0] == 0
        assert len(list((folder/'tags_files').iterdir())) == len(rows()) == 4
    page.unlink()                                           # a folder like any other
    assert night()[0] == 0 and len(rows()) == 8


def test_a_report_that_is_stopped_leaves_no_thumbnails(night, folder, monkeypatch):
    "Unless they are those of the page that is there"
    monkeypatch.setattr(report, '_ONE_FILE', 3)
    page, thumbnails = folder/'tags.html', folder/'tags_files'
    with mock.patch.object(report, '_address', side_effect=[None, ValueError('full')]):
        assert night('--report', page)[0] == 1 and not thumbnails.exists()
    assert night('--report', page)[0] == 0
    with mock.patch.object(report, '_address', side_effect=[None, ValueError('full')]):
        assert night('--report', page)[0] == 1 and len(list(thumbnails.iterdir())) == 4


def test_a_closed_folder_is_skipped_or_named(night, folder):
    "Each ext4 disk has one, lost+found; root may read it, so the system says no in a mock"
    listed = os.scandir

    def closed(place):
        if str(place).endswith('lost+found'):
            raise PermissionError(errno.EACCES, 'Permission denied', str(place))
        return listed(place)

    (folder/'lost+found').mkdir()
    with mock.patch.object(os, 'scandir', closed):
        status, _, encoded, err = night()
        assert (status, encoded) == (1, 0)
        assert 'lost+found: Permission denied. Add --on-error skip to go on without it.' in err
        status, _, encoded, err = night('--on-error', 'skip')
        assert (status, encoded, err.count('lost+found')) == (0, 4, 1)


# Parquet

def frame(path='tags.parquet') -> pd.DataFrame: return pd.read_parquet(path).set_index('picture')


def test_parquet_has_what_the_table_has(night, folder):
    "With types, and odd names as they are"
    (folder/'=1, b.jpg').write_bytes(b'no picture')
    for out in ('tags.csv', 'tags.parquet'): night('--scores', '--on-error', 'skip', out=out)
    found = frame().fillna({'error': ''})
    table = [(from_cell(row['picture']), row) for row in rows().values()]
    assert [name for name, _ in table] == list(found.index)
    for name, row in table:
        assert list(found.tags[name]) == split_labels(row['tags'])
        assert found.error[name] == from_cell(row['error'])
        for column in ('person', 'dog'):
            if row[column]: assert found[column][name] == float(row[column])
            else: assert np.isnan(found[column][name])
    assert found.tags.map(len).sum() > 0 and (found.error != '').sum() == 1


def test_parquet_after_a_stop_is_that_of_one_run(night, folder):
    "The same command goes on, and the table that was there stays until it ends"
    night('--scores', out='tags.parquet')
    before = Path('tags.parquet').read_bytes()
    for i in range(20): shutil.copy(PHOTOS[4], folder/f'0 {i:02}.jpg')
    with stopped_after_8():
        assert main(['tag', 'photos', '--classes', 'person,dog', '--out', 'tags.parquet',
                     '--threshold', '.1', '--scores']) == 130
    assert Path('tags.parquet').read_bytes() == before
    assert 0 < night('--scores', out='tags.parquet')[2] < 20
    night('--scores', out='anew.parquet')
    anew = frame('anew.parquet')
    pd.testing.assert_frame_equal(frame().sort_index(), anew.sort_index(), atol=2e-4)
    torn = mock.patch('pyarrow.parquet.write_table', side_effect=OSError('the disk is full'))
    whole = Path('tags.parquet').read_bytes()
    with torn: assert night(out='tags.parquet')[0] == 1
    assert Path('tags.parquet').read_bytes() == whole


def test_a_corrected_parquet_stays(night, folder):
    night(out='tags.parquet')
    corrected = pd.read_parquet('tags.parquet')
    corrected['tags'] = [['zebra'] for _ in range(len(corrected))]
    corrected['note'] = range(len(corrected))
    corrected.to_parquet('tags.parquet')
    shutil.copy(PHOTOS[4], folder/'0 new.jpg')
    assert night(out='tags.parquet')[0] == 0
    found = pd.read_parquet('tags.parquet')
    assert [list(tags) for tags in found.tags[:4]] == [['zebra']]*4
    assert found.note.tolist()[:4] == [0, 1, 2, 3] and np.isnan(found.note[4])
    assert found.picture[4] == 'photos/0 new.jpg'


def test_parquet_needs_pyarrow(night):
    "Said before any picture is read"
    with mock.patch('taidpt.apps.cli.find_spec', return_value=None):
        status, read, _, err = night(out='tags.parquet')
    assert (status, read) == (1, []) and 'tags.parquet: a .parquet file takes pip install' in err


# A database

def ask(question: str, path='tags.db') -> list[tuple]:
    with closing(sqlite3.connect(path)) as db: return db.execute(question).fetchall()


def test_a_database_has_what_the_table_has(night, folder):
    "After two nights, with a broken picture and odd names"
    (folder/'=1, b.jpg').write_bytes(b'no picture')
    for out in ('tags.csv', 'tags.db'): night('--scores', '--on-error', 'skip', out=out)
    shutil.copy(PHOTOS[4], folder/"it's.jpg")
    (folder/PHOTOS[0].name).unlink()
    for out in ('tags.csv', 'tags.db'):
        assert set(night('--scores', '--on-error', 'skip', out=out)[1]) == {'=1, b.jpg', "it's.jpg"}
    table = list(rows().values())
    found = [(from_cell(row['picture']), from_cell(row['error'])) for row in table]
    assert ask('SELECT picture, error FROM pictures ORDER BY picture') == sorted(found)
    tags = {(from_cell(row['picture']), tag) for row in table for tag in split_labels(row['tags'])}
    assert {*ask('SELECT picture, tag FROM tags')} == tags and tags
    scores = {(from_cell(row['picture']), name, float(row[name]))
              for row in table for name in ('person', 'dog') if row[name]}
    assert {*ask('SELECT picture, class, score FROM scores')} == scores
    assert ask('SELECT count(*) FROM tags JOIN scores ON tags.picture = scores.picture AND tag = '
               'class AND tags.score = scores.score') == [(len(tags),)]
    before = ask('SELECT * FROM scores')
    night('--on-error', 'skip', out='tags.db')
    assert ask('SELECT * FROM scores') == before


def test_a_database_changes_as_a_whole(night, folder):
    "A reader sees the old rows until the end; what else is in the file stays"
    night(out='tags.db', threshold=-9)
    with closing(sqlite3.connect('tags.db')) as db:
        db.execute('CREATE TABLE mine (note TEXT)')
        db.execute("CREATE VIEW dogs AS SELECT picture FROM tags WHERE tag = 'dog'")
    before = ask('SELECT * FROM tags')
    stop = mock.patch('taidpt.apps.tagging._tag_rows', side_effect=[['a row that is torn'], ()])
    with stop: assert night(out='tags.db', threshold=-9)[0] == 1
    assert ask('SELECT * FROM tags') == before and len(before) == 8
    with closing(sqlite3.connect('tags.db')) as db, db: db.execute("UPDATE tags SET tag = 'zebra' "
                                                                   "WHERE tag = 'person'")
    shutil.copy(PHOTOS[4], folder)
    assert night(out='tags.db', threshold=-9)[:3] == (0, [PHOTOS[4].name], 1)
    assert len(ask('SELECT * FROM dogs')) == 5 and ask('SELECT * FROM mine') == []
    assert ask("SELECT count(*) FROM tags WHERE tag = 'zebra'") == [(4,)]   # a correction stays


def test_no_other_database_is_written_to(night):
    "It is refused before anything is read, and stays as it was"
    with closing(sqlite3.connect('tags.db')) as db: db.execute('CREATE TABLE tags (name TEXT)')
    Path('text.db').write_text('no database, but a text of more bytes than a header has'*9)
    for name in ('tags.db', 'text.db'):
        before = Path(name).read_bytes()
        status, read, _, err = night(out=name)
        assert (status, read) == (1, []) and re.search(f'error: {name}: .*name another', err)
        assert Path(name).read_bytes() == before
