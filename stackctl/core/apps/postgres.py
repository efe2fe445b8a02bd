"""The app ``postgres``: where several gateways keep keys and usage together, and the chat API its sessions. Pure.

PostgreSQL takes its password in SQL, on the standard input of its single-user mode before each start, so that it stands
in no file and no argument.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from stackctl.core.apps.app import App, AppPlaces, AppService, GatewayLink, NeededProgram
from stackctl.core.settings.settings import split_names

if TYPE_CHECKING:
    from stackctl.core.settings.settings import Settings

SERVICE = "postgres"
PROGRAM_FOLDERS = ("/usr/lib/postgresql/*/bin",)
_PASSWORD = "POSTGRES_PASSWORD"  # noqa: S105  # a setting's name
CHAT_PASSWORD = "CHAT_API_DATABASE_PASSWORD"  # noqa: S105  # a setting's name
# Of each worker of the gateway: keys, usage, budgets, content logging, the operator's actions.
_CONNECTIONS_OF_A_WORKER, _OTHER_CONNECTIONS, _LEAST_CONNECTIONS = 5, 20, 100
# The programs are those that made the data, where they are here: another version refuses it. The server runs as nobody
# that it takes for root, which it refuses to be; to the machine that user is still the one who runs all of the site.
_FIND = """\
made=$(cat "$POSTGRES_FOLDER/data/PG_VERSION" 2>/dev/null)
for folder in /usr/lib/postgresql/*/bin "$(dirname "$(command -v postgres)")" "/usr/lib/postgresql/$made/bin"; do
  if [ -x "$folder/postgres" ] && [ -x "$folder/initdb" ]; then bin=$folder; fi
done"""
# A folder that is half made is not taken for one that is. The server lets in the gateway's user by its password, and
# where it keeps sessions here the chat API's; neither may look at what is the other's.
_SCRIPT = f"""\
umask 077; mkdir -p "$POSTGRES_FOLDER" && cd "$POSTGRES_FOLDER" || exit 1
{_FIND}
set --
if [ "$(id -u)" = 0 ]; then set -- unshare --user --map-user="$(id -u postgres)" --map-group="$(id -g postgres)"; fi
if [ ! -e data ]; then
  rm -rf new
  head -c 32 /dev/urandom | base64 | "$@" "$bin/initdb" -D "$POSTGRES_FOLDER/new" -U postgres -A scram-sha-256 \\
    --pwfile=/dev/stdin -E UTF8 --no-locale >/dev/null && mv new data || exit 1
fi
users=gateway more=
if [ -n "$CHAT_API_DATABASE_PASSWORD" ]; then
  users=gateway,chat_api
  more="DO \\$\\$BEGIN IF to_regrole('chat_api') IS NULL THEN CREATE ROLE chat_api LOGIN; END IF; END\\$\\$
ALTER ROLE chat_api PASSWORD '$CHAT_API_DATABASE_PASSWORD'
CREATE SCHEMA IF NOT EXISTS chat_api AUTHORIZATION chat_api"
fi
cd data && echo "host postgres $users all scram-sha-256" >pg_hba.conf || exit 1
"$@" "$bin/postgres" --single -D . -c log_min_error_statement=panic postgres >/dev/null <<END || exit 1
DO \\$\\$BEGIN IF to_regrole('gateway') IS NULL THEN CREATE ROLE gateway LOGIN; END IF; END\\$\\$
ALTER ROLE gateway PASSWORD '$POSTGRES_PASSWORD'
CREATE SCHEMA IF NOT EXISTS gateway AUTHORIZATION gateway
$more
END
exec "$@" "$bin/postgres" -D . -c listen_addresses="$POSTGRES_ADDRESS" -c port="$POSTGRES_PORT" \\
  -c max_connections="$POSTGRES_CONNECTIONS" -c unix_socket_directories="""
PROBE = """\
answer=$(PGPASSWORD="$POSTGRES_PASSWORD" PGCONNECT_TIMEOUT=4 timeout 4 psql -XAtw -h 127.0.0.1 -p "$POSTGRES_PORT" \\
  -U gateway -d postgres -c 'SELECT 1' 2>&1)
if [ "$answer" = 1 ]; then echo "answers SELECT 1"; exit 0; fi
echo "${answer:-no answer to SELECT 1 within 4 s}"; exit 1"""


def build_services(settings: Settings, places: AppPlaces) -> tuple[AppService, ...]:
    """The one service."""
    folder = places.choose_folder(SERVICE, "/var/lib/postgresql/data")
    wanted = settings.gateway_workers * _CONNECTIONS_OF_A_WORKER + _OTHER_CONNECTIONS
    service = AppService(
        name=SERVICE,
        port=settings.postgres_port,
        script=_SCRIPT,
        probe=PROBE,
        environment={
            "POSTGRES_ADDRESS": places.listen_address,
            "POSTGRES_CONNECTIONS": str(max(wanted, _LEAST_CONNECTIONS)),
            "POSTGRES_FOLDER": folder,
            "POSTGRES_PORT": str(settings.postgres_port),
        },
        secrets={name: name for name in ((_PASSWORD, CHAT_PASSWORD) if keeps_chats(settings) else (_PASSWORD,))},
        image=settings.postgres_image,
        user="999:999",
        folder=folder,
        stop_signal="INT",  # which does not wait until every gateway has left
    )
    return (service,)


def keeps_chats(settings: Settings) -> bool:
    """Whether the chat API keeps its sessions here: where it keeps any, and no setting names another database."""
    is_asked = settings.chat_api_sessions == "disk" and not settings.chat_api_database_url
    return is_asked and {SERVICE, "chat-api"} <= set(split_names(settings.stack_apps))


def find_chats(settings: Settings, places: AppPlaces) -> str:
    """Address of the chat API's database here, without its password."""
    return f"postgresql://chat_api@{_find_place(settings, places)}"


def _find_place(settings: Settings, places: AppPlaces) -> str:
    # On loopback, or on a network that is theirs alone.
    return f"{places.choose_host(SERVICE)}:{settings.postgres_port}/postgres?sslmode=disable"


def link_gateway(settings: Settings, places: AppPlaces) -> GatewayLink:
    """Where the gateway keeps its state, unless a setting names another database."""
    if settings.gateway_database_url:
        return GatewayLink()
    url = f"postgresql://gateway@{_find_place(settings, places)}"
    return GatewayLink({"GATEWAY_DATABASE_URL": url}, {"GATEWAY_DATABASE_PASSWORD": _PASSWORD})


POSTGRES = App(
    name="postgres",
    programs=(
        NeededProgram("postgres", "postgresql", PROGRAM_FOLDERS),
        NeededProgram("psql", "postgresql-client", PROGRAM_FOLDERS),
    ),
    images={SERVICE: "POSTGRES_IMAGE"},
    ports=("POSTGRES_PORT",),
    build=build_services,
    link=link_gateway,
)
