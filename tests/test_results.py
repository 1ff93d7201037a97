"""README's Results can be computed anew from the evidence in the repository."""
import sys

import pytest
from conftest import ROOT

pytestmark = pytest.mark.usefixtures('kept_features')


@pytest.fixture
def results(monkeypatch):
    "The script of `make results`, with whatever it imports; not on a slice"
    monkeypatch.delenv('TAIDPT_SLICE', raising=False)
    for name in ('results', 'evidence', 'controls'): monkeypatch.delitem(sys.modules, name, False)
    monkeypatch.syspath_prepend(ROOT/'nbs'/'paper')
    import results
    return results


@pytest.fixture
def study(results, tmp_path):
    return results.StoredStudy(results.load_clip(device='cpu'), tmp_path)


def test_rows_that_take_seconds(results, study):
    slow = "TaI-DPT, the paper's recipe", 'prompts on pairs'
    quick = [name for name in results.README if name not in slow]
    assert results.readme_rows(study, quick)


def test_a_row_that_differs_is_an_error(results, study, monkeypatch, capsys):
    def wrong(name): return right(name)._replace(by_seed='12.34')
    right = results.stored_row
    monkeypatch.setattr(results, 'stored_row', wrong)
    assert not results.readme_rows(study, ['zero-shot CLIP'])
    assert 'DIFFER' in capsys.readouterr().out
