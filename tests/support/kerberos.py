"""A Kerberos realm for tests: a KDC of MIT Kerberos as a process of a Cluster, its database and keytabs in the cluster's
directory, its port on the loopback. The machine's own /etc/krb5.conf is neither read nor written."""
import os
import shutil
import subprocess

from support.cluster import check, free_port, need, wait_for


class Kerberos:
    realm = "HEARTH.TEST"

    def __init__(self, cluster):
        # The daemons lie where only root looks by default.
        self.path = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
        tools = ("krb5kdc", "kdb5_util", "kadmin.local", "kinit")
        need(all(shutil.which(tool, path=self.path) for tool in tools), "a KDC (packages krb5-kdc, krb5-admin-server, krb5-user)")
        self.dir = os.path.join(cluster.dir, "kerberos")
        os.makedirs(self.dir, mode=0o700)
        self.port = free_port()
        self.configuration = os.path.join(self.dir, "krb5.conf")
        self.write_configuration()
        self.run("kdb5_util", "create", "-s", "-r", self.realm, "-P", "of this test only")
        kdc = cluster.run("kdc", ["env", f"PATH={self.path}", *(f"{k}={v}" for k, v in self.settings().items()), "krb5kdc", "-n"],
                          cluster.master_host)
        self.keytab("hearth")
        wait_for("the KDC gives a ticket", lambda: self.login() or not kdc.alive())
        check(kdc.alive(), f"the KDC ended: {kdc.tail()}")

    def write_configuration(self):
        with open(self.configuration, "w") as f:
            f.write(f"""[libdefaults]
  default_realm = {self.realm}
  dns_lookup_kdc = false
  dns_lookup_realm = false
  dns_canonicalize_hostname = false
  rdns = false
  udp_preference_limit = 1
[realms]
  {self.realm} = {{
    kdc = 127.0.0.1:{self.port}
  }}
[domain_realm]
  localhost = {self.realm}
""")
        with open(os.path.join(self.dir, "kdc.conf"), "w") as f:
            f.write(f"""[kdcdefaults]
  kdc_listen = 127.0.0.1:{self.port}
  kdc_tcp_listen = 127.0.0.1:{self.port}
[realms]
  {self.realm} = {{
    database_name = {self.dir}/principal
    key_stash_file = {self.dir}/stash
    acl_file = {self.dir}/acl
    supported_enctypes = aes256-cts-hmac-sha1-96:normal aes128-cts-hmac-sha1-96:normal
  }}
""")

    def settings(self):
        return {"KRB5_CONFIG": self.configuration, "KRB5_KDC_PROFILE": os.path.join(self.dir, "kdc.conf")}

    def run(self, *argv, **more):
        environment = {**os.environ, **self.settings(), **more, "PATH": self.path}
        done = subprocess.run(argv, env=environment, capture_output=True, text=True, timeout=60)
        check(done.returncode == 0, f"{' '.join(argv)}: {done.stdout} {done.stderr}")
        return done.stdout

    def keytab(self, principal):
        """A keytab of its own for a principal, which is made with it."""
        path = os.path.join(self.dir, principal.replace("/", "_") + ".keytab")
        if not os.path.exists(path):
            self.run("kadmin.local", "-q", f"addprinc -randkey {principal}")
            self.run("kadmin.local", "-q", f"ktadd -k {path} {principal}")
        return path

    def login(self):
        try:
            self.run("kinit", "-k", "-t", self.keytab("hearth"), "hearth", **self.environment())
            return True
        except AssertionError:
            return False

    def environment(self, who="hearth"):
        """For a process that has the tickets of `who`; only hearth has any."""
        return {"KRB5_CONFIG": self.configuration, "KRB5CCNAME": f"FILE:{self.dir}/{who}.ccache"}
