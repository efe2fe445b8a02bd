"""The fake world, which stands for the adapters wherever an operation is tested by itself."""

from tests.fakes.folders import CHECKOUT as CHECKOUT
from tests.fakes.folders import SITE as SITE
from tests.fakes.models import build_model_files as build_model_files
from tests.fakes.runtime import FakeRuntime as FakeRuntime
from tests.fakes.seams import override as override
from tests.fakes.world import DOCKER as DOCKER
from tests.fakes.world import KEYS as KEYS
from tests.fakes.world import World as World
from tests.fakes.world import raised_by as raised_by
from tests.fakes.world import write_env as write_env
