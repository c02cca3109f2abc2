"""The error tree: statuses, and which error is transient."""

import inspect

from larun import errors
from larun.schema import Status


def classes():
    return {name: value for name, value in vars(errors).items() if inspect.isclass(value)}


def test_every_error_is_one_of_ours_and_drawn():
    for name, error in classes().items():
        assert issubclass(error, errors.LarunError)
        assert name in errors.__doc__


def test_product_errors_are_the_statuses_that_are_not_stored():
    kinds = {e for e in classes().values() if issubclass(e, errors.ProductError)} - {errors.ProductError}
    statuses = {e.status for e in kinds}
    assert statuses == set(Status.CODES) - {Status.STORED}


def test_a_mismatch_names_its_fields():
    error = errors.PlanMismatch("text", ("a", "b"))
    assert error.fields == ("a", "b")
    assert isinstance(error, errors.StoreError)
    assert str(error) == "text"
