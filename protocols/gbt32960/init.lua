-- SPDX-License-Identifier: Apache-2.0
-- GB/T 32960.3, editions 2016 and 2025, on links of vehicles and of platforms. What bytes
-- mean is in decode.lua with report.lua, the blocks and units; what is said down in
-- encode.lua; what a link does in session.lua, links.lua and commands.lua.
local tg = require "tidegate"

local M = tg.adapter {
  id = "gbt32960", version = "1.0.0", api = 1, transports = { "tcp", "tls" },
  frame = require "stream",
  -- Sessions end one by one; the link ends with the last that is taken over.
  sessions = "one",
  topic = "gbt32960/${device}/${type}",
  down = "gbt32960/${device}/down",
  config = {
    topic = { type = "topic", default = "gbt32960/${device}/${type}", help = "where messages go" },
    down = {
      type = "topic", default = "gbt32960/${device}/down", help = "where commands come from",
    },
    payload = {
      type = "enum", choices = { "json", "emqx" }, default = "json",
      help = "emqx: topics and JSON of EMQX's gateway; set down to gbt32960/${device}/dnstream",
    },
    links = {
      type = "enum", choices = { "both", "vehicle", "platform" }, default = "both",
      help = "whose logins are taken",
    },
    vin = {
      type = "enum", choices = { "strict", "padded" }, default = "strict",
      help = "strict: 17 letters and digits; padded: NULs and blanks at the end are cut",
    },
    ack = {
      type = "enum", choices = { "time", "echo", "empty" }, default = "time",
      help = "unit of answers: the request's time; echo: the time of now and the rest (2016, "
        .. "vehicle links); or nothing",
    },
    answer_realtime = {
      type = "enum", choices = { "auto", "errors", "always", "never" }, default = "auto",
      help = "answers to reports; auto: errors to vehicles, all to platforms",
    },
    heartbeat_answer = {
      type = "enum", choices = { "empty", "time" }, default = "empty", help = "its unit",
    },
    serial = {
      type = "enum", choices = { "mark", "refuse" }, default = "mark",
      help = "logins whose serial is 0 or does not grow within a day",
    },
    cells = {
      type = "enum", choices = { "merge", "pass" }, default = "merge",
      help = "cell voltages that come in parts (2016): as one list, or as they come",
    },
    publish_keys = {
      type = "boolean", default = false, help = "keys of key exchanges are published, too",
    },
    public_key = {
      type = "string", default = "",
      help = "PEM: signatures of 2025 are checked with it where auth gives no key for the VIN",
    },
    max_vehicles = {
      type = "integer", default = 10000, min = 1, max = 1000000, help = "VINs on one link",
    },
    takeovers = {
      type = "integer", default = 6, min = 1, max = 1000,
      help = "how often in a minute a VIN may move to another link",
    },
    reissues = {
      type = "integer", default = 200, min = 1, max = 100000,
      help = "reissued reports that a link may send in a second",
    },
    watched = {
      type = "list", default = {},
      help = "VINs with series of their own in the metrics, at most 100",
    },
    idle = { type = "duration", default = "10m", help = "silence that ends a vehicle's link" },
    session_expiry = {
      type = "duration", default = "0s",
      help = "how long commands wait for a vehicle that is away",
    },
    command_timeout = { type = "duration", default = "60s", help = "for a command's answer" },
    command_tries = { type = "integer", default = 3, min = 1, max = 10, help = "of a command" },
    upgrade_order = {
      type = "enum", choices = { "table", "url_first" }, default = "table",
      help = "fields of the remote upgrade: the URL ninth, or first",
    },
    forward = {
      type = "list", default = {},
      help = "upper platforms that frames are handed on to, see docs/protocols/gbt32960.md",
    },
    upgrade_numbers = {
      type = "enum", choices = { "binary", "text" }, default = "binary",
      help = "address, port and time limit of the remote upgrade",
    },
  },
}

if #M.config.watched > 100 then error("watched: at most 100 VINs", 0) end
require("quality").watch(M.config.watched)
M.decode = require("decode").decode
M.encode = require("encode").encode
require("session").add(M)
require("commands").add(M)
require("forward").add(M)

return M
