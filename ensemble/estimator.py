"""What scikit-learn asks of an estimator besides fit and predict, without importing it.

Parameters are the arguments of `__init__`, kept as they came under their own names: so `clone`,
pipelines, searches and cross-validation work. Tags are a plain namespace of the same form as
scikit-learn's, which only reads it.
"""

import inspect
from types import SimpleNamespace
from typing import Any

from harness.names import unknown


class Estimator:
    """The parameters and tags of a classifier."""

    _estimator_type = "classifier"  # (read by scikit-learn up to 1.5)

    @classmethod
    def _names(cls) -> list[str]:
        return list(inspect.signature(cls).parameters)

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Return the arguments of `__init__` as they stand."""
        return {name: getattr(self, name) for name in self._names()}

    def set_params(self, **params: Any) -> Any:
        """Change some of them; returns self.

        Raises:
            ValueError: a name that is none of them; nothing is changed.
        """
        for name in params:
            if name not in self._names():
                raise unknown("parameter", name, self._names())
        for name, value in params.items():
            setattr(self, name, value)
        return self

    def __repr__(self) -> str:
        defaults = inspect.signature(type(self)).parameters
        shown = [
            f"{name}={value!r}"
            for name, value in self.get_params().items()
            if value is not defaults[name].default
        ]
        return f"{type(self).__name__}({', '.join(shown)})"

    def __sklearn_tags__(self) -> SimpleNamespace:
        target = dict(one_d_labels=True, two_d_labels=False, positive_only=False)
        given = dict(one_d_array=False, two_d_array=True, three_d_array=True, sparse=False)
        kinds = dict(categorical=False, string=False, dict=False)
        more = dict(positive_only=False, allow_nan=False, pairwise=False)
        return SimpleNamespace(
            estimator_type=self._estimator_type,
            target_tags=SimpleNamespace(
                required=True, multi_output=False, single_output=True, **target
            ),
            classifier_tags=SimpleNamespace(poor_score=False, multi_class=True, multi_label=False),
            input_tags=SimpleNamespace(**given, **kinds, **more),
            transformer_tags=None,
            regressor_tags=None,
            array_api_support=False,
            no_validation=False,
            non_deterministic=False,
            requires_fit=True,
            _skip_test=False,
        )
