"""The voices of the tests of adaptation serve here too."""

from adaptation.conftest import corpus as corpus  # a fixture
