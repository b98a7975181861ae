"""Ordinary messages of a call and a registration, as phones send them."""

SDP = (
    b"v=0\r\no=- 3724394400 3724394400 IN IP4 192.0.2.20\r\ns=-\r\nc=IN IP4 192.0.2.20\r\nt=0 0\r\n"
    b"m=audio 4000 RTP/AVP 0 8 101\r\na=rtpmap:0 PCMU/8000\r\na=rtpmap:8 PCMA/8000\r\n"
    b"a=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-16\r\na=sendrecv\r\n"
)


def _message(head: str, body: bytes = b"") -> bytes:
    lines = [*head.strip().split("\n"), f"Content-Length: {len(body)}", "", ""]
    return "\r\n".join(lines).encode() + body


INVITE = _message(
    """INVITE sip:1001@192.0.2.10:5060;transport=udp SIP/2.0
Via: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bKabcdef0123456789;rport
Max-Forwards: 70
From: "Click To Call" <sip:+4930123456@example.com>;tag=9fxced76sl
To: <sip:1001@example.com>
Call-ID: 3848276298220188511@192.0.2.1
CSeq: 1 INVITE
Contact: <sip:engine@192.0.2.1:5060;transport=udp>
Allow: INVITE, ACK, CANCEL, BYE, OPTIONS, UPDATE
Supported: timer, replaces
Session-Expires: 1800;refresher=uac
User-Agent: Ringbridge
Content-Type: application/sdp""",
    SDP,
)
RINGING = _message(
    """SIP/2.0 180 Ringing
Via: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bKabcdef0123456789;rport=5060;received=192.0.2.1
Record-Route: <sip:proxy.example.com;lr>, <sip:192.0.2.99;lr;ftag=9fxced76sl>
From: "Click To Call" <sip:+4930123456@example.com>;tag=9fxced76sl
To: <sip:1001@example.com>;tag=a6c85cf
Call-ID: 3848276298220188511@192.0.2.1
CSeq: 1 INVITE
Contact: "1001" <sip:1001@192.0.2.10:5060;ob>;+sip.instance="<urn:uuid:f81d4fae-7dec-11d0-a765-00a0c91e6bf6>"
User-Agent: Yealink SIP-T46U 108.86.0.20"""
)
OK = _message(
    """SIP/2.0 200 OK
v: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bKabcdef0123456789;rport=5060;received=192.0.2.1
f: "Click To Call" <sip:+4930123456@example.com>;tag=9fxced76sl
t: <sip:1001@example.com>;tag=a6c85cf
i: 3848276298220188511@192.0.2.1
CSeq: 1 INVITE
m: <sip:1001@192.0.2.10:5060;transport=udp>
k: replaces, 100rel, timer
c: application/sdp""",
    SDP,
)
ACK = _message(
    """ACK sip:1001@192.0.2.10:5060;transport=udp SIP/2.0
Via: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bKack0123456789;rport
Max-Forwards: 70
From: "Click To Call" <sip:+4930123456@example.com>;tag=9fxced76sl
To: <sip:1001@example.com>;tag=a6c85cf
Call-ID: 3848276298220188511@192.0.2.1
CSeq: 1 ACK"""
)
BYE = _message(
    """BYE sip:engine@192.0.2.1:5060;transport=udp SIP/2.0
Via: SIP/2.0/TCP [2001:db8::10]:5060;branch=z9hG4bK.bye;rport;alias
Max-Forwards: 70
From: <sip:1001@example.com>;tag=a6c85cf
To: "Click To Call" <sip:+4930123456@example.com>;tag=9fxced76sl
Call-ID: 3848276298220188511@192.0.2.1
CSeq: 2 BYE
Reason: Q.850;cause=16;text="Normal call clearing\""""
)
CHALLENGED = _message(
    """SIP/2.0 407 Proxy Authentication Required
Via: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bKabcdef0123456789
From: <sip:1001@example.com>;tag=9fxced76sl
To: <sip:1001@example.com>;tag=b
Call-ID: 1@192.0.2.1
CSeq: 1 INVITE
Proxy-Authenticate: Digest realm="example.com", nonce="84a4cc6f3082121f32b42a2187831a9e", qop="auth,auth-int"
Proxy-Authenticate: Digest realm="example.com", nonce="7", opaque="a\\"b", algorithm=SHA-256, qop="auth\""""
)
REGISTER = _message(
    """REGISTER sip:example.com SIP/2.0
Via: SIP/2.0/UDP 10.0.0.5:5062;branch=z9hG4bK1701109339;rport
From: "1001" <sip:1001@example.com>;tag=1928301774
To: "1001" <sip:1001@example.com>
Call-ID: 0_3208312@10.0.0.5
CSeq: 2 REGISTER
Contact: <sip:1001@10.0.0.5:5062>;reg-id=1;+sip.instance="<urn:uuid:00000000-0000-1000-8000-001565a3b2c1>";expires=3600
Authorization: Digest username="1001", realm="example.com", nonce="1.2.3", uri="sip:example.com", response="0"
Path: <sip:edge.example.com;lr>
Supported: path, outbound
Allow: INVITE, INFO, PRACK, ACK, BYE, CANCEL, OPTIONS, NOTIFY, REGISTER, SUBSCRIBE, REFER, PUBLISH, UPDATE, MESSAGE
Max-Forwards: 70
User-Agent: Yealink SIP-T46U 108.86.0.20
Expires: 3600"""
)
OPTIONS = _message(
    """OPTIONS sip:192.0.2.1 SIP/2.0
Via: SIP/2.0/UDP 192.0.2.9;branch=z9hG4bKhjhs8ass877, SIP/2.0/UDP 192.0.2.8:5070;branch=z9hG4bK2;received=192.0.2.77
From: Ann <sip:ann@example.com>;tag=1
To: sip:192.0.2.1
Call-ID: a84b4c76e66710
CSeq: 63104 OPTIONS
Accept: application/sdp, application/*;q=0.5"""
)

ALL = (INVITE, RINGING, OK, ACK, BYE, CHALLENGED, REGISTER, OPTIONS)
