-- SPDX-License-Identifier: Apache-2.0
-- GT06 trackers (Concox, Jimi and their clones): the adapter. What bytes mean is in decode.lua
-- with types.lua and layouts.lua, what is said to the device in encode.lua, and what a
-- connection does in session.lua and commands.lua.
local tg = require "tidegate"

local M = tg.adapter {
  id = "gt06", version = "1.0.0", api = 1, transports = { "tcp", "tls" },
  frame = require "stream",
  topic = "gt06/${device}/${type}",
  down = "gt06/${device}/down",
  config = {
    topic = { type = "topic", default = "gt06/${device}/${type}", help = "where messages go" },
    down = { type = "topic", default = "gt06/${device}/down", help = "where commands come from" },
    answer = {
      type = "enum", choices = { "required", "recommended", "all" }, default = "recommended",
      help = "which frames are answered: logins and heartbeats, alarms and times, too, or all",
    },
    clock = {
      type = "string", default = "auto",
      help = "zone of the device's clock: auto (the login's for classic types), utc, login "
        .. "(for all types), or an offset such as +08:00 (for classic types)",
    },
    model = {
      type = "enum", choices = { "standard", "safe", "r11", "seeworld" }, default = "standard",
      help = "how the classic heartbeat is read; safe: its first byte only",
    },
    alarms = {
      type = "map", default = {}, help = "names of alarm codes: [\"0x28\"] = \"braking\"",
    },
    login_answer = {
      type = "enum", choices = { "plain", "long" }, default = "plain",
      help = "long: with the time, as bike locks expect it",
    },
    refused = {
      type = "enum", choices = { "close", "hold" }, default = "close",
      help = "a device that auth refuses is closed, or answered and its data dropped",
    },
    idle = { type = "duration", default = "15m", help = "silence that ends a connection" },
    session_expiry = {
      type = "duration", default = "0s",
      help = "how long commands wait for a device that is away",
    },
    command_timeout = { type = "duration", default = "60s", help = "for a command's reply" },
    command_language = {
      type = "enum", choices = { "none", "zh", "en" }, default = "none",
      help = "language word behind commands; some models want it, some ignore commands with it",
    },
    cut_dialect = {
      type = "enum", choices = { "relay", "dyd" }, default = "relay",
      help = "Relay,1# / Relay,0#, or DYD# / HFYD#",
    },
    allow_cut = {
      type = "list", default = {}, help = "IMEIs whose engine may be cut; \"*\": all",
    },
  },
}

M.decode = require("decode").decode
M.encode = require("encode").encode
require("session").add(M)
require("commands").add(M)

require("topin").declare {
  topic = { type = "topic", default = "gt06/${device}/${type}" },
  idle = { type = "duration", default = "15m" },
}

return M
