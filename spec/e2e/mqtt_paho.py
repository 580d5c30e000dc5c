# SPDX-License-Identifier: Apache-2.0
"""Eclipse Paho against the host: an independent client with its own reading of the standard.
Prints one line per scenario that went well; any exception ends it with a trace. Argument: port.
"""
import queue
import sys

import paho.mqtt.client as mqtt
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.subscribeoptions import SubscribeOptions

PORT = int(sys.argv[1])
WAIT = 60


class Client:
    def __init__(self, name, version, clean=True, will=None, expiry=0):
        args = {"clean_session": clean} if version < mqtt.MQTTv5 else {}
        self.c = mqtt.Client(client_id=name, protocol=version, **args)
        self.messages, self.connects, self.subs = queue.Queue(), queue.Queue(), queue.Queue()
        self.c.on_message = lambda c, u, m: self.messages.put(m)
        self.c.on_connect = lambda c, u, flags, rc, *p: self.connects.put((flags, rc, p))
        self.c.on_subscribe = lambda c, u, mid, codes, *p: self.subs.put(codes)
        if will:
            self.c.will_set(*will)
        more = {}
        if version == mqtt.MQTTv5:
            more["clean_start"] = clean
            more["properties"] = Properties(PacketTypes.CONNECT)
            more["properties"].SessionExpiryInterval = expiry
        self.c.connect("127.0.0.1", PORT, 60, **more)
        self.c.loop_start()
        self.flags, rc, _ = self.connects.get(timeout=WAIT)
        assert rc == 0, rc

    def subscribe(self, *args, **kwargs):
        self.c.subscribe(*args, **kwargs)
        return self.subs.get(timeout=WAIT)

    def publish(self, topic, payload, qos=0, retain=False, properties=None):
        info = self.c.publish(topic, payload, qos, retain, properties=properties)
        info.wait_for_publish(WAIT)
        assert info.is_published()

    def take(self):
        return self.messages.get(timeout=WAIT)

    def close(self):
        self.c.disconnect()
        self.c.loop_stop()


def everyday(version, label):
    sub, pub = Client("sub" + label, version), Client("pub" + label, version)
    sub.subscribe("paho/%s/#" % label, 2)
    for qos in (0, 1, 2):
        for size in (0, 1, 1000, 100000):
            pub.publish("paho/%s/%d" % (label, size), b"x" * size, qos)
            m = sub.take()
            assert (m.qos, len(m.payload)) == (qos, size), (m.qos, len(m.payload))
    for i in range(500):
        pub.c.publish("paho/%s/order" % label, str(i), 2)
    got = [int(sub.take().payload) for _ in range(500)]
    assert got == list(range(500)), got
    pub.publish("paho/%s/kept" % label, "kept", 1, retain=True)
    late = Client("late" + label, version)
    late.subscribe("paho/%s/kept" % label, 1)
    assert late.take().retain
    pub.publish("paho/%s/kept" % label, "", 1, retain=True)
    for c in (sub, pub, late):
        c.close()
    print("everyday", label)


def session(version, label):
    name, topic = "ses" + label, "session/" + label
    c = Client(name, version, clean=False, expiry=100)
    c.subscribe(topic, 1)
    c.close()
    pub = Client("pub" + label, version)
    for i in range(10):
        pub.publish(topic, str(i), 1)
    c = Client(name, version, clean=False, expiry=100)
    if version > mqtt.MQTTv31:
        assert c.flags["session present"] == 1
    assert [int(c.take().payload) for _ in range(10)] == list(range(10))
    c.close()
    Client(name, version, clean=True).close()
    pub.close()
    print("session", label)


def properties():
    sub, pub = Client("psub", mqtt.MQTTv5), Client("ppub", mqtt.MQTTv5)
    wish = Properties(PacketTypes.SUBSCRIBE)
    wish.SubscriptionIdentifier = 42
    codes = sub.subscribe("props", options=SubscribeOptions(qos=1, noLocal=True), properties=wish)
    assert [c.value for c in codes] == [1], codes
    p = Properties(PacketTypes.PUBLISH)
    p.UserProperty = [("a", "1"), ("b", "2")]
    p.ContentType = "application/json"
    p.ResponseTopic = "re/ply"
    p.CorrelationData = b"\x00\x01"
    p.MessageExpiryInterval = 60
    pub.publish("props", "{}", 1, properties=p)
    m = sub.take()
    assert m.properties.UserProperty == [("a", "1"), ("b", "2")]
    assert m.properties.ContentType == "application/json"
    assert m.properties.ResponseTopic == "re/ply"
    assert m.properties.CorrelationData == b"\x00\x01"
    assert m.properties.SubscriptionIdentifier == [42]
    assert 30 <= m.properties.MessageExpiryInterval <= 60
    sub.close()
    pub.close()
    print("properties")


def will():
    sub = Client("wsub", mqtt.MQTTv311)
    sub.subscribe("paho/will", 1)
    dead = Client("wdead", mqtt.MQTTv311, will=("paho/will", "gone", 1, False))
    dead.c.loop_stop()
    dead.c._sock_close()
    assert sub.take().payload == b"gone"
    sub.close()
    print("will")


for v, name in ((mqtt.MQTTv31, "v31"), (mqtt.MQTTv311, "v311"), (mqtt.MQTTv5, "v5")):
    everyday(v, name)
    session(v, name)
properties()
will()
