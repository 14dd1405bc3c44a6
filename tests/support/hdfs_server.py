"""A real HDFS for tests: a NameNode (or two, of which one is active) and a DataNode of Apache Hadoop, from Maven, on ports
of their own; with Kerberos, with TLS, and with the HttpFS gateway in front where a test asks for them.

The jars are fetched once into a cache directory (HEARTH_CACHE, else ~/.cache/hearth). The two daemons run as processes
of a Cluster, which ends them. Nothing listens beyond the loopback.
"""
import http.client
import json
import os
import shutil
import ssl
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
    home = os.path.join(cache, f"hdfs-{VERSION}-2")  # the number: another set of jars
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
    def __init__(self, cluster, kerberos=None, tls=False, namenodes=1):
        """With a Kerberos realm: a secure cluster, to which only its tickets give access. With TLS: nothing else is
        served. With two namenodes: both are in standby until make_active()."""
        self.kerberos = kerberos
        self.tls = tls
        self.host = "localhost" if kerberos or tls else "127.0.0.1"
        self.jars = jars()
        need(shutil.which("java"), "java (package default-jre-headless)")
        self.cluster = cluster
        self.dir = os.path.join(cluster.dir, "hdfs")
        self.http_ports = [free_port() for _ in range(namenodes)]
        self.rpc_ports = [free_port() for _ in range(namenodes)]
        self.active = 0
        self.datanode_port = free_port()
        self.namenodes = [None] * namenodes
        self.datanode = self.httpfs = self.token_file = None
        self.started = 0
        self.write_configuration()
        self.run_java("format", "server.namenode.NameNode", *self.identity(0), "-format", "-force", "-nonInteractive").wait()
        for i in range(1, namenodes):  # as -bootstrapStandby does over the network
            shutil.copytree(f"{self.dir}/name0", f"{self.dir}/name{i}")
        for i in range(namenodes):
            self.start_namenode(i)
        if namenodes > 1:
            self.make_active(0)
        self.start_datanode()

    @property
    def http_port(self):
        return self.http_ports[self.active]

    @property
    def rpc_port(self):
        return self.rpc_ports[self.active]

    @property
    def namenode(self):
        return self.namenodes[self.active]

    def write_configuration(self):
        conf = os.path.join(self.dir, "conf")
        # The web pages of the daemons are not in the jars; empty directories are enough to start.
        for page in ("hdfs", "datanode", "static"):
            os.makedirs(os.path.join(conf, "webapps", page))
        files = {
            "core-site.xml": configuration({
                "fs.defaultFS": f"hdfs://{self.host}:{self.rpc_port}" if len(self.namenodes) == 1 else "hdfs://ha",
                "hadoop.tmp.dir": f"{self.dir}/tmp",
                "hadoop.proxyuser.root.hosts": "*", "hadoop.proxyuser.root.groups": "*",  # HttpFS asks on behalf of its users
                "hadoop.user.group.static.mapping.overrides": "root=;nn=;dn=",  # instead of a process for each question
                **self.secure_core()}),
            "hdfs-site.xml": configuration({
                "dfs.namenode.name.dir": f"{self.dir}/name0",
                "dfs.datanode.data.dir": f"{self.dir}/data",
                **self.addresses(),
                "dfs.datanode.address": "127.0.0.1:0",
                "dfs.datanode.ipc.address": "127.0.0.1:0",
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
            "log4j.properties": LOG, **(self.make_certificate() if self.tls else {})}
        for name, text in files.items():
            with open(os.path.join(conf, name), "w") as f:
                f.write(text)

    def addresses(self):
        kind = "https" if self.tls else "http"
        values = {f"dfs.datanode.{kind}.address": f"127.0.0.1:{self.datanode_port}",
                  "dfs.http.policy": "HTTPS_ONLY" if self.tls else "HTTP_ONLY"}
        if len(self.namenodes) == 1:
            return {**values, f"dfs.namenode.{kind}-address": f"{self.host}:{self.http_port}"}
        names = [f"nn{i}" for i in range(len(self.namenodes))]
        values.update({"dfs.nameservices": "ha", "dfs.ha.namenodes.ha": ",".join(names),
                       "dfs.client.failover.proxy.provider.ha": "org.apache.hadoop.hdfs.server.namenode.ha.ConfiguredFailoverProxyProvider",
                       "dfs.namenode.shared.edits.dir": f"file://{self.dir}/edits",
                       "dfs.ha.tail-edits.period": "1", "dfs.ha.fencing.methods": "shell(/bin/true)"})
        for i, name in enumerate(names):
            values[f"dfs.namenode.rpc-address.ha.{name}"] = f"{self.host}:{self.rpc_ports[i]}"
            values[f"dfs.namenode.{kind}-address.ha.{name}"] = f"{self.host}:{self.http_ports[i]}"
        return values

    def identity(self, number):
        """What a namenode of several is told about itself."""
        own = ["-D", f"dfs.namenode.name.dir={self.dir}/name{number}"]
        return own if len(self.namenodes) == 1 else ["-D", f"dfs.ha.namenode.id=nn{number}", *own]

    def make_certificate(self):
        """One certificate for all daemons, which clients trust as the authority (self.ca_file)."""
        store, password = os.path.join(self.dir, "keystore.p12"), "of-this-test-only"
        self.ca_file = os.path.join(self.dir, "ca.pem")
        for words in (["-genkeypair", "-alias", "hdfs", "-keyalg", "RSA", "-keysize", "2048", "-dname", "CN=localhost", "-validity", "10",
                       "-ext", f"SAN=dns:localhost,dns:{DATANODE_NAME}"], ["-exportcert", "-alias", "hdfs", "-rfc", "-file", self.ca_file]):
            made = subprocess.run(["keytool", *words, "-keystore", store, "-storetype", "PKCS12", "-storepass", password, "-keypass", password],
                                  capture_output=True, text=True, timeout=120)
            check(made.returncode == 0, f"keytool: {made.stdout}{made.stderr}")
        values = {"keystore.location": store, "keystore.password": password, "keystore.keypassword": password, "keystore.type": "PKCS12"}
        return {"ssl-server.xml": configuration({f"ssl.server.{name}": value for name, value in values.items()}),
                "ssl-client.xml": configuration({"ssl.client.truststore.location": store, "ssl.client.truststore.password": password,
                                                 "ssl.client.truststore.type": "PKCS12"})}

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

    def run_java(self, name, main, *args, settings=()):
        realm = [f"-Djava.security.krb5.conf={self.kerberos.configuration}"] if self.kerberos else []
        argv = ["java", "-Xmx256m", "-XX:TieredStopAtLevel=1", *OPENS, *realm, "-Djava.net.preferIPv4Stack=true", *settings,
                "-cp", f"{self.dir}/conf:{self.jars}/*", main if main.startswith("org.") else f"org.apache.hadoop.hdfs.{main}", *args]
        return self.cluster.run(f"hdfs-{name}", argv, self.cluster.master_host).popen

    def start_namenode(self, number=0):
        self.namenodes[number] = self.run_java(f"namenode{number}", "server.namenode.NameNode", *self.identity(number))
        wait_for("the namenode answers", lambda: self.answers(number), START_SECONDS)

    def make_active(self, number):
        """Of two namenodes; the other one must be in standby or dead."""
        asked = self.run_java("haadmin", "tools.DFSHAAdmin", "-ns", "ha", "-transitionToActive", "--forceactive", f"nn{number}")
        check(asked.wait(START_SECONDS) == 0, "the namenode does not become active, see the log of haadmin")
        self.active = number
        wait_for("it is active", lambda: self.namenode_request("GET", "/", "GETFILESTATUS")[0] == 200, START_SECONDS)

    def start_httpfs(self):
        """The gateway, with access for everybody; http_address of clients is then 127.0.0.1:httpfs_port."""
        self.httpfs_port = free_port()
        home, conf = os.path.join(self.dir, "httpfs"), os.path.join(self.dir, "conf")
        os.makedirs(os.path.join(home, "log"))
        os.makedirs(os.path.join(home, "temp"))
        # The address is read from the class path, the rest from the directory that is named.
        with open(os.path.join(conf, "httpfs-site.xml"), "w") as f:
            f.write(configuration({"httpfs.hadoop.config.dir": conf, "hadoop.http.temp.dir": f"{home}/temp",
                                   "httpfs.http.hostname": "127.0.0.1", "httpfs.http.port": self.httpfs_port}))
        with open(os.path.join(conf, "httpfs-signature.secret"), "w") as f:
            f.write("of this test only\n")
        shutil.copy(os.path.join(conf, "log4j.properties"), os.path.join(conf, "httpfs-log4j.properties"))
        places = [f"-Dhttpfs.{name}={path}" for name, path in (("home.dir", home), ("config.dir", conf), ("log.dir", f"{home}/log"), ("temp.dir", f"{home}/temp"))]
        self.httpfs = self.run_java("httpfs", "org.apache.hadoop.fs.http.server.HttpFSServerWebServer", settings=places)

        def up():
            check(self.httpfs.poll() is None, "HttpFS ended, see its log")
            try:
                status, _, reply = self.request(self.httpfs_port, "GET", "/webhdfs/v1/?op=GETFILESTATUS&user.name=root")
            except OSError:
                return False
            check(status == 200, f"HttpFS answers {status} {reply!r}")
            return True
        wait_for("HttpFS answers", up, START_SECONDS)

    def start_datanode(self):
        self.datanode = self.run_java("datanode", "server.datanode.DataNode")
        self.started += 1
        wait_for("a datanode takes a file", lambda: self.takes_files(), START_SECONDS)

    def answers(self, number):
        check(self.namenodes[number].poll() is None, "the namenode ended, see its log")
        expected = 401 if self.kerberos else 200 if len(self.namenodes) == 1 else 403  # StandbyException
        try:
            return self.request(self.http_ports[number], "GET", "/webhdfs/v1/?op=GETFILESTATUS&user.name=root")[0] == expected
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
        if self.tls:
            trust = ssl.create_default_context(cafile=self.ca_file)
            connection = http.client.HTTPSConnection("localhost", port, timeout=30, context=trust)
        else:
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
        """Runs the conformance suite against this server (through HttpFS once that runs), with the tickets of `who`."""
        scheme = "https" if self.tls else "http"
        port = self.httpfs_port if self.httpfs else self.http_port
        environment = {**os.environ, **(self.kerberos.environment(who) if self.kerberos else {}),
                       "HEARTH_TEST_WEBHDFS": f"{scheme}://{self.host}:{port}",
                       "HEARTH_TEST_HDFS_OPTIONS": ";".join(self.options())}
        return subprocess.run([f"{BIN}/hdfs_test", f"--gtest_filter=RealHdfs{only}"], env=environment, capture_output=True,
                              text=True, timeout=seconds)

    def fetch_delegation_token(self):
        """A token of this secure cluster, by the ticket of hearth; from now on options() name its file and not Kerberos."""
        answer = self.ask_with_ticket("GET", "op=GETDELEGATIONTOKEN")
        check('"Token"' in answer, f"no delegation token: {answer[:500]}")
        token = json.loads(answer)["Token"]["urlString"]
        self.token_file = os.path.join(self.dir, "token")
        with open(os.open(self.token_file, os.O_WRONLY | os.O_CREAT, 0o600), "w") as f:
            f.write(token + "\n")
        return token

    def cancel_delegation_token(self, token):
        answer = self.ask_with_ticket("PUT", f"op=CANCELDELEGATIONTOKEN&token={token}")
        check("Exception" not in answer, f"the token is not cancelled: {answer[:500]}")

    def ask_with_ticket(self, method, query):
        need(shutil.which("curl"), "curl, which asks with a Kerberos ticket")
        asked = subprocess.run(["curl", "-sS", "-X", method, "--negotiate", "-u", ":", f"http://{self.host}:{self.http_port}/webhdfs/v1/?{query}"],
                               env={**os.environ, **self.kerberos.environment()}, capture_output=True, text=True, timeout=60)
        return asked.stdout + asked.stderr

    # ---- for hearth attach ------------------------------------------------------------------------
    def uri(self, path):
        authority = "ha" if len(self.namenodes) > 1 else f"{self.host}:{self.rpc_port}"
        return f"hdfs://{authority}{urllib.parse.quote(path)}"

    def options(self):
        login = "auth=kerberos" if self.kerberos else "user=root"
        if self.token_file:
            login = f"delegation_token_file={self.token_file}"
        if self.httpfs:  # it reads the datanodes itself, and knows no files by their inode
            return [f"http_address=127.0.0.1:{self.httpfs_port}", login, "inode_paths=off"]
        address = f"http_port={self.http_port}"
        if len(self.namenodes) > 1:
            address = "http_address=" + ",".join(f"{self.host}:{port}" for port in self.http_ports)
        return [address, login, f"host_map={DATANODE_NAME}=127.0.0.1", *(["tls=on", f"ca_file={self.ca_file}"] if self.tls else [])]

    def flags(self):
        return [word for option in self.options() for word in ("-o", option)]
