"""Properties, tried on what hypothesis draws."""

import pytest

pytest.register_assert_rewrite("contract")
