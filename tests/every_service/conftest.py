"""All four services of one agency, started once: every test brings subjects of its own."""

from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AsyncExitStack

import pytest
import yaml

from contracts.alliance import StatutoryBasis
from contracts.ids import AgencyId
from deploy.embedded.cluster import Addresses
from deploy.installation import Installation, install
from deploy.system import ALLIANCES
from services.consent.door import withdrawal
from services.handover.api import commands
from tests.approving import approved
from tests.conftest import AGENCIES, Databases
from tests.every_service.anatomy import SERVICES
from tests.every_service.running import Running, provide_keys, running

ROW = {
    "from": "SGB_II", "to": "SGB_VIII", "basis": "sgb_ii_50_1", "norm": "§ 13 SGB VIII", "task": "Jugendsozialarbeit",
    "categories": ["contact"], "valid_from": "2024-01-01", "valid_until": "2035-12-31",
}  # fmt: skip


@pytest.fixture(scope="session")
def installation(embedded: Addresses, tmp_path_factory: pytest.TempPathFactory) -> Installation:
    data = tmp_path_factory.mktemp("installation")
    provide_keys(data, AGENCIES)
    alliance = data / "musterland.yaml"
    said = yaml.safe_load((ALLIANCES / "musterland.yaml").read_text("utf-8"))
    row = approved(StatutoryBasis.model_validate(ROW), AgencyId("jobcenter"), AgencyId("jugendamt"))
    said["matrix"] = [row.model_dump(mode="json", by_alias=True)]
    alliance.write_text(yaml.safe_dump(said, allow_unicode=True), "utf-8")
    return install(data, embedded, (alliance,), AGENCIES)


@pytest.fixture(scope="session")
async def services(all_databases: Databases, installation: Installation) -> AsyncIterator[Mapping[str, Running]]:
    async with all_databases.lent() as lend, AsyncExitStack() as stack:
        yield {
            name: await stack.enter_async_context(running(installation, name, await lend(name))) for name in SERVICES
        }


@pytest.fixture(scope="module", autouse=True)
def no_release_runs() -> Iterator[None]:
    """`void` and `withdraw` hold their answers back for releases; here nobody comes to the door."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(commands, "RELEASE_SECONDS_MAX", 0.0)
        patched.setattr(withdrawal, "ANSWER_SECONDS", 0.0)
        yield
