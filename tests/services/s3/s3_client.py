"""A small S3 client from the specification, on the standard library: what tests write and compare with.

It shares nothing with Hearth's own, so that an error common to signer and verifier can not hide.
"""
import datetime
import hashlib
import hmac
import http.client
import urllib.parse
import xml.etree.ElementTree as ElementTree


class S3Error(Exception):
    def __init__(self, status, body):
        super().__init__(f"{status}: {body[:500]!r}")
        self.status = status


def _hmac(key, text):
    return hmac.new(key, text.encode(), hashlib.sha256).digest()


class S3Client:
    def __init__(self, endpoint, region, bucket, access_key, secret):
        self.host = endpoint.split("://", 1)[1]
        self.region = region
        self.bucket = bucket
        self.access_key = access_key
        self.secret = secret
        self.connection = None

    def signed_headers(self, method, path, query, headers, payload_hash):
        now = datetime.datetime.now(datetime.timezone.utc).strftime("%Y%m%dT%H%M%SZ")
        headers = {**{k.lower(): v for k, v in headers.items()}, "host": self.host, "x-amz-date": now, "x-amz-content-sha256": payload_hash}
        names = sorted(headers)
        canonical = "\n".join([method, path, query, *(f"{n}:{headers[n].strip()}" for n in names), "", ";".join(names), payload_hash])
        scope = f"{now[:8]}/{self.region}/s3/aws4_request"
        text = f"AWS4-HMAC-SHA256\n{now}\n{scope}\n{hashlib.sha256(canonical.encode()).hexdigest()}"
        key = ("AWS4" + self.secret).encode()
        for step in (now[:8], self.region, "s3", "aws4_request"):
            key = _hmac(key, step)
        signature = _hmac(key, text).hex()
        headers["authorization"] = (f"AWS4-HMAC-SHA256 Credential={self.access_key}/{scope}, "
                                    f"SignedHeaders={';'.join(names)}, Signature={signature}")
        return headers

    def request(self, method, key="", query=None, headers=None, body=b"", whole=True):
        path = "/" + self.bucket + ("/" + urllib.parse.quote(key, safe="/-_.~") if key else "")
        query = "&".join(sorted(f"{urllib.parse.quote(k, safe='-_.~')}={urllib.parse.quote(v, safe='-_.~')}" for k, v in (query or {}).items()))
        signed = self.signed_headers(method, path, query, headers or {}, hashlib.sha256(body).hexdigest())
        signed["content-length"] = str(len(body))
        for attempt in (1, 2):
            if self.connection is None:
                self.connection = http.client.HTTPConnection(self.host, timeout=60)
            try:
                self.connection.request(method, path + ("?" + query if query else ""), body=body, headers=signed)
                reply = self.connection.getresponse()
                break
            except (http.client.HTTPException, OSError):
                self.connection = None
                if attempt == 2:
                    raise
        if not whole:
            return reply
        data = reply.read()
        if reply.status >= 300:
            raise S3Error(reply.status, data)
        return reply, data

    def create_bucket(self):
        try:
            self.request("PUT")
        except S3Error as error:
            if error.status != 409:
                raise

    def put(self, key, body, headers=None):
        return self.request("PUT", key, body=body, headers=headers)[0].headers["ETag"]

    def get(self, key):
        return self.request("GET", key)[1]

    def delete(self, key):
        self.request("DELETE", key)

    def list(self, prefix=""):
        """All keys below a prefix, page by page."""
        token, keys = None, []
        while True:
            query = {"list-type": "2", "prefix": prefix, "encoding-type": "url"}
            if token:
                query["continuation-token"] = token
            root = ElementTree.fromstring(self.request("GET", query=query)[1])
            space = root.tag[:root.tag.index("}") + 1] if "}" in root.tag else ""
            decode = urllib.parse.unquote_plus if root.findtext(space + "EncodingType") == "url" else str
            keys += [decode(entry.findtext(space + "Key")) for entry in root.iter(space + "Contents")]
            if root.findtext(space + "IsTruncated") != "true":
                return keys
            token = root.findtext(space + "NextContinuationToken")

    def put_parts(self, key, parts):
        """A multipart upload of the given pieces (each but the last at least 5 MiB)."""
        root = ElementTree.fromstring(self.request("POST", key, {"uploads": ""})[1])
        upload = next(e.text for e in root.iter() if e.tag.endswith("UploadId"))
        entries = ""
        for number, part in enumerate(parts, 1):
            reply, _ = self.request("PUT", key, {"partNumber": str(number), "uploadId": upload}, body=part)
            entries += f"<Part><PartNumber>{number}</PartNumber><ETag>{reply.headers['ETag']}</ETag></Part>"
        body = f"<CompleteMultipartUpload>{entries}</CompleteMultipartUpload>".encode()
        self.request("POST", key, {"uploadId": upload}, body=body)
