"""Who stands behind the peer: original IP detection extensions, one file each, one line each here."""

ORIGINAL_IP_DETECTIONS: dict[str, str] = {
    "envoy.extensions.http.original_ip_detection.custom_header.v3.CustomHeaderConfig": (
        "proxy.http.original_ip.custom_header:CustomHeader"
    ),
    "envoy.extensions.http.original_ip_detection.xff.v3.XffConfig": "proxy.http.original_ip.xff:Xff",
}
