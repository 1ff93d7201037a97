"""Runs of Table 1 on the paper's data that others sent: the folder `evidence/reproduced`."""
import json
from pathlib import Path

import numpy as np
import pandas as pd

FOLDER = Path(__file__).parent/'evidence'/'reproduced'


def rows_that_count(table: dict) -> list[dict]:
    "Rows of a `table1.json` that have the printed number beside them, of a run with several seeds"
    if len(table['about']['seeds']) < 2: return []
    return [row for row in table['rows'] if row.get('published') is not None]


def sent_runs(folder: Path = FOLDER) -> dict[tuple[str, str], np.ndarray]:
    """mAP of each seed, by data set and method; of a seed that several sent, the mean. `ValueError`
    for a file that has no such number."""
    values = []
    for path in sorted(folder.glob('*.json')):
        table = json.loads(path.read_text(encoding='utf-8'))
        seeds = table['about']['seeds']
        rows = rows_that_count(table)
        if not rows:
            raise ValueError(f"{path.name} has no data set with OpenAI's RN50, all captions and "
                             'photos, and several seeds: see the README there')
        for row in rows:
            by_seed = np.broadcast_to(row['values'], len(seeds))    # zero-shot CLIP has one value
            values += [(row['data'], row['method'], *pair) for pair in zip(seeds, by_seed)]
    frame = pd.DataFrame(values, columns=['data', 'method', 'seed', 'mAP'])
    means = frame.groupby(['data', 'method', 'seed'])['mAP'].mean()
    return {key: of_seeds.to_numpy() for key, of_seeds in means.groupby(['data', 'method'])}
