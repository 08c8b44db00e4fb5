"""The configuration that `minirun gcloud` writes: gcloud sees one platform in it, and the user's stays."""

from configparser import ConfigParser
from pathlib import Path

from minirun.cli.gcloud import environment, write_configuration

API = "http://127.0.0.1:18081"


def read(folder: Path) -> ConfigParser:
    file = ConfigParser()
    file.read(folder / "configurations" / f"config_{(folder / 'active_config').read_text()}")
    return file


def test_gcloud_takes_the_api_for_its_proxy_and_every_api_for_plain_http(tmp_path: Path) -> None:
    assert write_configuration(tmp_path, API, "PEM")
    file = read(tmp_path)
    assert dict(file["proxy"]) == {"type": "http", "address": "127.0.0.1", "port": "18081"}
    assert {url[:7] for url in file["api_endpoint_overrides"].values()} == {"http://"}
    assert file["core"]["check_gce_metadata"] == "false"


def test_the_key_is_given_once_and_what_the_user_set_stays(tmp_path: Path) -> None:
    assert write_configuration(tmp_path, API, "PEM")
    assert (tmp_path / "key.json").stat().st_mode & 0o777 == 0o600
    properties = tmp_path / "configurations" / "config_minirun"
    properties.write_text(properties.read_text().replace("project = demo", "project = mine"))
    assert not write_configuration(tmp_path, API, "PEM")
    assert "project = mine" in properties.read_text()
    assert write_configuration(tmp_path, API, "ANOTHER PEM")  # of a platform with new data


def test_nothing_of_the_users_gcloud_leaks_in(tmp_path: Path) -> None:
    user = {"CLOUDSDK_CONFIG": "/own", "CLOUDSDK_CORE_PROJECT": "real", "PATH": "/bin"}
    seen = environment(tmp_path, API, user)
    assert {name for name in seen if name.startswith("CLOUDSDK_")} == {"CLOUDSDK_CONFIG"}
    assert (seen["CLOUDSDK_CONFIG"], seen["PATH"]) == (str(tmp_path), "/bin")
