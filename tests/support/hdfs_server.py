"""A real HDFS for tests: one NameNode and one DataNode of Apache Hadoop, from Maven, on ports of their own.

The jars are fetched once into a cache directory (HEARTH_CACHE, else ~/.cache/hearth). The two daemons run as processes
of a Cluster, which ends them. Nothing listens beyond the loopback.
"""
import http.client
import json
import os
import shutil
import subprocess
import urllib.parse

from support.cluster import BIN, Failure, check, free_port, need, wait_for

POM = os.path.join(os.path.dirname(__file__), "../services/hdfs/pom.xml")
VERSION = "3.4.1"
DATANODE_NAME = "dn1.cluster.invalid"  # nobody resolves it: what host_map is for
START_SECONDS = 240  # two JVMs on a machine that compiles beside them
OPENS = [f"--add-opens=java.base/{package}=ALL-UNNAMED" for package in ("java.lang", "java.util", "java.nio", "sun.nio.ch")]
LOG = """log4j.rootLogger=WARN,console
log4j.appender.console=org.apache.log4j.ConsoleAppender
log4j.appender.console.target=System.err
log4j.appender.console.layout=org.apache.log4j.PatternLayout
log4j.appender.console.layout.ConversionPattern=%d{HH:mm:ss} %p %c{2}: %m%n
"""


def jars():
    """The directory of Hadoop's jars, fetched when they are not there yet."""
    cache = os.environ.get("HEARTH_CACHE") or os.path.expanduser("~/.cache/hearth")
    home = os.path.join(cache, f"hdfs-{VERSION}")
    if os.path.exists(os.path.join(home, "complete")):
        return home
    need(shutil.which("java") and shutil.which("mvn"), "java and mvn (packages default-jre-headless and maven)")
    shutil.rmtree(home, ignore_errors=True)
    os.makedirs(home)
    fetched = subprocess.run(["mvn", "-q", "-B", "-f", POM, "dependency:copy-dependencies", f"-DoutputDirectory={home}",
                              "-DincludeScope=runtime", f"-Dhadoop.version={VERSION}"],
                             capture_output=True, text=True, timeout=900)
    if fetched.returncode != 0:
        print(fetched.stdout[-2000:])
    need(fetched.returncode == 0, "Hadoop's jars (Maven could not fetch them, see above)")
    open(os.path.join(home, "complete"), "w").close()
    return home


def configuration(values):
    rows = "".join(f"<property><name>{name}</name><value>{value}</value></property>\n" for name, value in values.items())
    return f"<configuration>\n{rows}</configuration>\n"


class HdfsServer:
    def __init__(self, cluster, kerberos=None):
        """With a Kerberos realm: a secure cluster, to which only its tickets give access."""
        self.kerberos = kerberos
        self.host = "localhost" if kerberos else "127.0.0.1"
        self.jars = jars()
        need(shutil.which("java"), "java (package default-jre-headless)")
        self.cluster = cluster
        self.dir = os.path.join(cluster.dir, "hdfs")
        self.http_port, self.rpc_port = free_port(), free_port()
        self.datanode_port = free_port()
        self.namenode = self.datanode = None
        self.started = 0
        self.write_configuration()
        self.java("format", "namenode.NameNode", "-format", "-force", "-nonInteractive").wait()
        self.start_namenode()
        self.start_datanode()

    def write_configuration(self):
        conf = os.path.join(self.dir, "conf")
        # The web pages of the daemons are not in the jars; empty directories are enough to start.
        for page in ("hdfs", "datanode", "static"):
            os.makedirs(os.path.join(conf, "webapps", page))
        files = {
            "core-site.xml": configuration({
                "fs.defaultFS": f"hdfs://{self.host}:{self.rpc_port}",
                "hadoop.user.group.static.mapping.overrides": "root=;nn=;dn=",  # instead of a process for each question
                **self.secure_core()}),
            "hdfs-site.xml": configuration({
                "dfs.namenode.name.dir": f"{self.dir}/name",
                "dfs.datanode.data.dir": f"{self.dir}/data",
                "dfs.namenode.http-address": f"{self.host}:{self.http_port}",
                "dfs.datanode.address": "127.0.0.1:0",
                "dfs.datanode.ipc.address": "127.0.0.1:0",
                "dfs.datanode.http.address": f"127.0.0.1:{self.datanode_port}",
                "dfs.datanode.hostname": DATANODE_NAME,
                "dfs.namenode.datanode.registration.ip-hostname-check": "false",
                "dfs.replication": "1",
                "dfs.heartbeat.interval": "1",
                "dfs.namenode.fs-limits.min-block-size": "65536",
                "dfs.blocksize": str(1 << 20),  # several blocks in a small file
                "dfs.ls.limit": "20",           # several batches in a small directory
                # A writer waits so long before it asks again whether the datanode reported its block (400 ms otherwise).
                "dfs.client.block.write.locateFollowingBlock.initial.delay.ms": "20",
                **self.secure_hdfs()}),
            "log4j.properties": LOG}
        for name, text in files.items():
            with open(os.path.join(conf, name), "w") as f:
                f.write(text)

    def secure_core(self):
        if not self.kerberos:
            return {}
        realm = self.kerberos.realm
        return {"hadoop.security.authentication": "kerberos",
                "hadoop.http.authentication.type": "kerberos",  # WebHDFS asks for a ticket only with this
                "hadoop.http.authentication.kerberos.principal": f"HTTP/localhost@{realm}",
                "hadoop.http.authentication.kerberos.keytab": self.kerberos.keytab("HTTP/localhost"),
                # The test's own principal is the superuser, as root is without Kerberos.
                "hadoop.security.auth_to_local": f"RULE:[1:$1@$0](hearth@{realm})s/.*/nn/\nDEFAULT"}

    def secure_hdfs(self):
        if not self.kerberos:
            return {}
        values = {"dfs.block.access.token.enable": "true", "ignore.secure.ports.for.testing": "true"}
        for daemon, principal in (("namenode", "nn"), ("datanode", "dn")):
            values[f"dfs.{daemon}.kerberos.principal"] = f"{principal}/localhost@{self.kerberos.realm}"
            values[f"dfs.{daemon}.keytab.file"] = self.kerberos.keytab(f"{principal}/localhost")
        values["dfs.web.authentication.kerberos.principal"] = f"HTTP/localhost@{self.kerberos.realm}"
        values["dfs.web.authentication.kerberos.keytab"] = self.kerberos.keytab("HTTP/localhost")
        return values

    def java(self, name, main, *args):
        realm = [f"-Djava.security.krb5.conf={self.kerberos.configuration}"] if self.kerberos else []
        argv = ["java", "-Xmx256m", "-XX:TieredStopAtLevel=1", *OPENS, *realm, "-Djava.net.preferIPv4Stack=true",
                "-cp", f"{self.dir}/conf:{self.jars}/*", f"org.apache.hadoop.hdfs.server.{main}", *args]
        return self.cluster.run(f"hdfs-{name}", argv, self.cluster.master_host).popen

    def start_namenode(self):
        self.namenode = self.java("namenode", "namenode.NameNode")
        wait_for("the namenode answers", lambda: self.answers(self.namenode), START_SECONDS)

    def start_datanode(self):
        self.datanode = self.java("datanode", "datanode.DataNode")
        self.started += 1
        wait_for("a datanode takes a file", lambda: self.takes_files(), START_SECONDS)

    def answers(self, process):
        check(process.poll() is None, "the namenode ended, see its log")
        try:
            return self.namenode_request("GET", "/", "GETFILESTATUS")[0] == (401 if self.kerberos else 200)
        except OSError:
            return False

    def takes_files(self):
        check(self.datanode.poll() is None, "the datanode ended, see its log")
        if self.kerberos:  # Python speaks no SPNEGO; the conformance program does
            return self.conformance("*ReadsWhatWasPut*", START_SECONDS).returncode == 0
        try:
            self.put("/probe", f"{self.started}".encode())
            return self.read("/probe") == f"{self.started}".encode()
        except (Failure, OSError):
            return False

    @staticmethod
    def kill(process):
        process.kill()
        process.wait()

    # ---- WebHDFS, as another client would speak it ------------------------------------------------
    def request(self, port, method, target, body=None):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        try:
            headers = {"Content-Type": "application/octet-stream"} if body is not None else {}
            connection.request(method, target, body=body, headers=headers)
            reply = connection.getresponse()
            return reply.status, reply.getheader("Location"), reply.read()
        finally:
            connection.close()

    def namenode_request(self, method, path, operation, **parameters):
        query = urllib.parse.urlencode({"op": operation, "user.name": "root", **parameters})
        return self.request(self.http_port, method, f"/webhdfs/v1{urllib.parse.quote(path)}?{query}")

    def through_datanode(self, method, path, operation, body=None, **parameters):
        status, location, reply = self.namenode_request(method, path, operation, **parameters)
        check(status == 307, f"{operation} {path}: {status} {reply!r}")
        target = urllib.parse.urlsplit(location)
        check(target.hostname == DATANODE_NAME, f"redirected to {location}")
        status, _, reply = self.request(target.port, method, f"{target.path}?{target.query}", body)
        check(status in (200, 201), f"{operation} {path}: {status} {reply!r}")
        return reply

    def put(self, path, data):
        self.through_datanode("PUT", path, "CREATE", data, overwrite="true")

    def append(self, path, data):
        self.through_datanode("POST", path, "APPEND", data)

    def read(self, path):
        return self.through_datanode("GET", path, "OPEN")

    def status(self, path):
        status, _, reply = self.namenode_request("GET", path, "GETFILESTATUS")
        check(status == 200, f"GETFILESTATUS {path}: {status} {reply!r}")
        return json.loads(reply)["FileStatus"]

    def set_times(self, path, modified_ms):
        self.namenode_request("PUT", path, "SETTIMES", modificationtime=modified_ms)

    def remove(self, path):
        self.namenode_request("DELETE", path, "DELETE", recursive="true")

    def conformance(self, only="*", seconds=400, who="hearth"):
        """Runs the conformance suite against this server, with the tickets of `who`."""
        environment = {**os.environ, **(self.kerberos.environment(who) if self.kerberos else {}),
                       "HEARTH_TEST_WEBHDFS": f"http://{self.host}:{self.http_port}",
                       "HEARTH_TEST_HDFS_OPTIONS": ";".join(self.options())}
        return subprocess.run([f"{BIN}/hdfs_test", f"--gtest_filter=RealHdfs{only}"], env=environment, capture_output=True,
                              text=True, timeout=seconds)

    # ---- for hearth attach ------------------------------------------------------------------------
    def uri(self, path):
        return f"hdfs://{self.host}:{self.rpc_port}{urllib.parse.quote(path)}"

    def options(self):
        login = "auth=kerberos" if self.kerberos else "user=root"
        return [f"http_port={self.http_port}", login, f"host_map={DATANODE_NAME}=127.0.0.1"]

    def flags(self):
        return [word for option in self.options() for word in ("-o", option)]
