"""Converts connections to ML Metadata's messages."""

from __future__ import annotations

from typing import Any

from ml_metadata.proto import metadata_store_pb2 as mlmd

from prodml.errors import ConfigError
from prodml.metadata.connection import (
    Connection,
    GrpcConnection,
    MySqlConnection,
    PostgreSqlConnection,
    SqliteConnection,
)


def connection_message(connection: Connection) -> Any:
    """Creates a ConnectionConfig or MetadataStoreClientConfig, with the revealed password.

    Raises:
        ConfigError: a certificate or a secret cannot be read.
    """
    match connection:
        case SqliteConnection():
            return _sqlite(connection)
        case MySqlConnection():
            return _mysql(connection)
        case PostgreSqlConnection():
            return _postgresql(connection)
        case GrpcConnection():
            return _grpc(connection)


def _sqlite(connection: SqliteConnection) -> Any:
    config = mlmd.ConnectionConfig()
    config.sqlite.filename_uri = connection.path
    config.sqlite.connection_mode = mlmd.SqliteMetadataSourceConfig.READWRITE_OPENCREATE
    return config


def _mysql(connection: MySqlConnection) -> Any:
    config = mlmd.ConnectionConfig()
    config.mysql.host = connection.host
    config.mysql.port = connection.port
    config.mysql.database = connection.database
    config.mysql.user = connection.user
    config.mysql.skip_db_creation = True
    if connection.password is not None:
        config.mysql.password = connection.password.reveal()
    if connection.ca_file is not None:
        config.mysql.ssl_options.ca = connection.ca_file
        config.mysql.ssl_options.verify_server_cert = True
    return config


def _postgresql(connection: PostgreSqlConnection) -> Any:
    config = mlmd.ConnectionConfig()
    config.postgresql.host = connection.host
    config.postgresql.port = str(connection.port)
    config.postgresql.dbname = connection.database
    config.postgresql.user = connection.user
    config.postgresql.skip_db_creation = True
    if connection.password is not None:
        config.postgresql.password = connection.password.reveal()
    if connection.ssl_mode is not None:
        config.postgresql.ssloption.sslmode = connection.ssl_mode
    if connection.ca_file is not None:
        config.postgresql.ssloption.sslrootcert = connection.ca_file
    return config


def _grpc(connection: GrpcConnection) -> Any:
    config = mlmd.MetadataStoreClientConfig(host=connection.host, port=connection.port)
    if connection.ca_file is not None:
        try:
            with open(connection.ca_file, encoding="ascii") as file:
                config.ssl_config.custom_ca = file.read()
        except OSError as error:
            raise ConfigError(f"ca_file {connection.ca_file} cannot be read: {error}") from error
    return config
