"""README's Results can be computed anew from the evidence in the repository."""
import pytest
from conftest import paper_module

pytestmark = pytest.mark.usefixtures('kept_features')


results = paper_module('results')


@pytest.fixture
def study(tmp_path):
    return results.StoredStudy(results.load_clip(device='cpu'), tmp_path)


def test_rows_that_take_seconds(study):
    slow = "TaI-DPT, the paper's recipe", 'prompts on pairs'
    quick = [name for name in results.README if name not in slow]
    assert results.readme_rows(study, quick)


def test_a_row_that_differs_is_an_error(study, monkeypatch, capsys):
    rows = results.stored_rows()
    wrong = {'zero-shot CLIP': rows['zero-shot CLIP']._replace(by_seed='12.34')}
    monkeypatch.setattr(results, 'stored_rows', lambda: wrong)
    assert not results.readme_rows(study, ['zero-shot CLIP'])
    assert 'DIFFER' in capsys.readouterr().out
