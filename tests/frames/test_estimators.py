"""Claims about estimators as bytes: what was fitted in the same way is the same, and nothing is trusted blindly."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from sklearn.base import BaseEstimator
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import GradientBoostingRegressor, HistGradientBoostingRegressor, RandomForestRegressor
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression, PoissonRegressor
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from tidemark.errors import OutputError, UsageError
from tidemark.frames import Part, encode, load

X = np.random.default_rng(0).normal(size=(200, 3))
Y = np.random.default_rng(1).poisson(np.exp(X[:, 0]))

MODELS = [
    PoissonRegressor(),
    make_pipeline(SimpleImputer(), StandardScaler(), PoissonRegressor()),
    make_pipeline(ColumnTransformer([("scaled", StandardScaler(), [0, 1])]), LinearRegression()),
    make_pipeline(OneHotEncoder(handle_unknown="ignore"), PoissonRegressor()),
    GradientBoostingRegressor(random_state=0),
    HistGradientBoostingRegressor(loss="poisson", random_state=0),
    RandomForestRegressor(5, random_state=0),
]


@pytest.mark.parametrize("estimator", MODELS, ids=lambda each: type(each).__name__)
def test_what_comes_back_predicts_the_same(estimator: BaseEstimator, tmp_path: Path) -> None:
    fitted = estimator.fit(X.round(), Y)
    encoded = encode(fitted, annotation="BaseEstimator", name="model")
    assert (encoded.format, encoded.rows, encoded.table) == ("skops", None, None)
    file = tmp_path / "blob"
    assert isinstance(encoded.payload, bytes)
    file.write_bytes(encoded.payload)
    for annotation in (BaseEstimator, "BaseEstimator | None", None):
        back = load([Part("2025-01-06", file, "skops", None)], annotation, windowed=False, name="model")
        assert (back.predict(X.round()) == fitted.predict(X.round())).all()  # type: ignore[attr-defined]


ALIKE = """
import numpy as np
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import PoissonRegressor
from sklearn.pipeline import make_pipeline
from tidemark.frames import encode

texts = ["a red mug", "a white mug", "two red bags"] * 20
model = make_pipeline(CountVectorizer(stop_words=["a"]), PoissonRegressor()).fit(texts, np.arange(60) % 7)
model[0].seen_ = {"white", "red", "green", "blue", "black"}
print(encode(model, name="model").data_version.hex())
"""


def test_the_same_training_gives_the_same_bytes_in_another_process() -> None:
    """With other hashes, and everything at other addresses."""
    said = set()
    for seed in ("1", "2", "3"):
        environ = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": os.pathsep.join(sys.path)}
        done = subprocess.run([sys.executable, "-c", ALIKE], env=environ, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        said.add(done.stdout)
    assert len(said) == 1


def test_another_fit_is_another_version() -> None:
    first, second = (encode(PoissonRegressor().fit(X, Y + more), name="model") for more in (0, 1))
    assert first.data_version != second.data_version


def test_what_is_not_fitted_is_refused() -> None:
    with pytest.raises(OutputError, match=r"asset 'model' returned an estimator that is not fitted: call fit"):
        encode(PoissonRegressor(), name="model")


def test_what_nobody_trusts_is_refused_when_it_is_trained() -> None:
    search = GridSearchCV(PoissonRegressor(), {"alpha": [0.1, 1.0]}).fit(X, Y)
    with pytest.raises(OutputError, match=r"not trusted when it is loaded: .*KFold.* the search's best_estimator_"):
        encode(search, name="model")
    assert encode(search.best_estimator_, name="model").format == "skops"


def test_what_holds_itself_is_refused() -> None:
    model = PoissonRegressor().fit(X, Y)
    model.itself_ = {"model": model}
    with pytest.raises(OutputError, match="holds itself"):
        encode(model, name="model")


def test_a_stored_file_that_is_none_is_a_clear_error(tmp_path: Path) -> None:
    file = tmp_path / "blob"
    file.write_bytes(b"no archive")
    with pytest.raises(UsageError, match=r"input 'model', 2025-01-06: the stored estimator cannot be loaded"):
        load([Part("2025-01-06", file, "skops", None)], BaseEstimator, windowed=False, name="model")


def test_words_are_kept_in_vectorizers(tmp_path: Path) -> None:
    made = CountVectorizer(stop_words=["a"]).fit(["a red mug", "a white mug"])
    payload = encode(made, name="words").payload
    assert isinstance(payload, bytes)
    (tmp_path / "blob").write_bytes(payload)
    back = load([Part("all", tmp_path / "blob", "skops", None)], None, windowed=False, name="words")
    assert back.get_feature_names_out().tolist() == ["mug", "red", "white"]  # type: ignore[attr-defined]
    assert back.transform(["a red"]).toarray().tolist() == [[0, 1, 0]]  # type: ignore[attr-defined]
