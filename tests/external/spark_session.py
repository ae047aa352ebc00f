"""One Spark with Iceberg's runtime for all tests, on the catalog file of a Fjord data directory."""

import re
import shutil
import subprocess

import pytest

# Spark and Scala in the runtime's name are those of the pyspark in requirements-spark.txt.
JARS = ["org.apache.iceberg:iceberg-spark-runtime-3.5_2.12:1.10.1", "org.xerial:sqlite-jdbc:3.49.1.0"]
COPY = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy"
# What Spark 3.5 runs on.
JAVA_VERSIONS = range(8, 22)
DOWNLOAD_SECONDS_MAX = 400


def require_java():
    if shutil.which("mvn") is None:
        pytest.skip("Spark: needs Maven for Iceberg's runtime")
    if shutil.which("java") is None:
        pytest.skip("Spark: needs a JDK (17)")
    said = subprocess.run(["java", "-version"], capture_output=True, text=True, timeout=60).stderr
    found = re.search(r'version "(?:1\.)?(\d+)', said)
    if found is None or int(found[1]) not in JAVA_VERSIONS:
        pytest.skip(f"Spark: needs Java 8 to 21, the machine's own says {said.splitlines()[:1]}")


def jars(folder):
    """Copies what Spark needs beside itself into the folder."""
    paths = []
    for artifact in JARS:
        command = ["mvn", "-q", "-B", COPY, f"-Dartifact={artifact}", f"-DoutputDirectory={folder}"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=DOWNLOAD_SECONDS_MAX)
        assert done.returncode == 0, f"Maven failed:\n{done.stdout[-4000:]}"
        _, name, version = artifact.split(":")
        paths.append(str(folder / f"{name}-{version}.jar"))
    return paths


def start(folder, directory):
    """A session whose catalog `iceberg` is the one of the data directory. Nothing of a table is kept between
    statements, as others change it."""
    from pyspark.sql import SparkSession

    catalog = "spark.sql.catalog.iceberg"
    settings = {
        "spark.jars": ",".join(jars(folder)),
        "spark.sql.extensions": "org.apache.iceberg.spark.extensions.IcebergSparkSessionExtensions",
        catalog: "org.apache.iceberg.spark.SparkCatalog",
        f"{catalog}.type": "jdbc",
        f"{catalog}.uri": f"jdbc:sqlite:{directory}/catalog.db",
        f"{catalog}.warehouse": f"file://{directory}/warehouse",
        f"{catalog}.jdbc.schema-version": "V1",
        f"{catalog}.clients": "1",
        f"{catalog}.cache-enabled": "false",
        "spark.sql.session.timeZone": "UTC",
        "spark.sql.shuffle.partitions": "2",
        "spark.sql.warehouse.dir": str(folder / "spark-warehouse"),
        "spark.driver.host": "127.0.0.1",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.driver.memory": "1g",
        "spark.driver.extraJavaOptions": f"-Duser.timezone=UTC -Dderby.system.home={folder}",
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
    }
    builder = SparkSession.builder.master("local[2]").appName("fjord")
    for key, value in settings.items():
        builder = builder.config(key, value)
    session = builder.getOrCreate()
    session.sparkContext.setLogLevel("ERROR")
    return session
