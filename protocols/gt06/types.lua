-- SPDX-License-Identifier: Apache-2.0
-- What a frame is, by start, type and length. The length stands as the papers print it: content
-- plus 5. `by` holds lengths with a layout of their own, `layout` serves all others (those that
-- are longer keep their tail as hex); without either the content is handed on as it is.
-- `clock`: "utc", or "device" for types that run in the zone set in the device. `answer` says
-- what the device expects: "yes", "recommended", "optional" or "no". `partial`: what was whole
-- of a content that ends too early is worth having; the word is the flaw that says so. `fast`:
-- lengths that are common enough to have a way of their own; `look` reads time, course word and,
-- last, serial behind the type (integers cost less than as many bytes skipped one by one).
local L = require "layouts"

local M = { short = {}, long = {} }

local short, long = M.short, M.long

local function location(t)
  t.type = "location"
  t.answer = t.answer or "optional"
  return t
end

local function alarm(t)
  t.type, t.answer = "alarm", "recommended"
  return t
end

local function cells(t)
  t.type, t.answer = t.type or "cells", "optional"
  return t
end

short[0x01] = { type = "login", layout = L.login, answer = "yes" }

short[0x10] = location { layout = L.gps, clock = "device" }
short[0x11] = location { layout = L.lbs_time, clock = "device", by = { [0x21] = L.gps_lbs_wide } }
short[0x12] = location {
  layout = L.gps_lbs, clock = "device",
  fast = { [0x1F] = { layout = L.gps_lbs, look = ">I6I8I2I2I8I2" } },
  by = {
    [0x21] = L.gps_lbs_port, [0x22] = L.gps_lbs_upload, [0x23] = L.gps_lbs_mileage,
    [0x24] = L.gps_lbs_info, [0x27] = L.imei_gps_lbs,
  },
}
short[0x17] = location {
  layout = L.raw_short, clock = "device", by = { [0x27] = L.gps_lbs, [0x28] = L.gps_lbs },
  other = "address_answer",
}
short[0x1E] = location { layout = L.gps_cells, clock = "device" }
short[0x22] = location {
  layout = L.gps_lbs, clock = "utc",
  fast = { [0x22] = { layout = L.gps_lbs_upload, look = ">I6I8I2I2I8I3I2" } },
  by = {
    [0x1F] = L.gps_lbs, [0x22] = L.gps_lbs_upload, [0x23] = L.gps_lbs_upload,
    [0x26] = L.gps_lbs_upload, [0x27] = L.gps_lbs_upload, [0x3C] = L.raw_short,
  },
}
short[0x25] = location { layout = L.raw_short, clock = "utc" }
short[0x32] = location { layout = L.raw_short, clock = "device", by = { [0x2F] = L.gps_lbs_power } }
short[0x8B] = location { layout = L.lbs }
short[0xA0] = location { layout = L.gps_lbs_4g, clock = "utc" }

short[0x13] = {
  type = "heartbeat", layout = L.heartbeat_info, answer = "yes", by = { [0x0A] = L.heartbeat },
}
short[0x23] = { type = "heartbeat", layout = L.heartbeat_voltage, answer = "yes" }

short[0x16] = alarm {
  layout = L.alarm, clock = "device",
  by = {
    [0x1D] = L.alarm_no_lbs, [0x24] = L.alarm_voltage, [0x26] = L.alarm_id4,
    [0x2D] = L.gps_lbs, [0x35] = L.gps_lbs,
  },
}
short[0x19] = alarm { layout = L.alarm_lbs }
short[0x26] = alarm { layout = L.alarm, clock = "utc" }
short[0x27] = alarm { layout = L.alarm_fence, clock = "utc" }
short[0x95] = { type = "dashcam", layout = L.dashcam, clock = "device", answer = "optional" }
short[0xA3] = alarm {
  layout = L.alarm_4g, clock = "utc", by = { [0x0C] = L.raw_short, [0x18] = L.raw_short },
}
short[0xA4] = alarm { layout = L.alarm_fence_4g, clock = "utc" }
short[0xA5] = alarm { layout = L.alarm_lbs_4g }

short[0x18] = cells { layout = L.cells, clock = "device" }
short[0x24] = cells {
  layout = L.raw_short, clock = "utc", by = { [0x3B] = L.cells, [0x2E] = L.gps_lbs },
}
short[0x28] = cells { layout = L.cells, clock = "utc" }
short[0x2E] = cells { layout = L.cells, clock = "utc" }
short[0x2C] = cells { type = "wifi", layout = L.wifi, clock = "utc", partial = "truncated_content" }
short[0xA1] = cells { layout = L.cells_4g, clock = "utc" }
short[0xA2] = cells {
  type = "wifi", layout = L.wifi_4g, clock = "utc", partial = "truncated_content",
  by = { [0x40] = L.raw_short },
}

short[0x1A] = {
  type = "address_request", layout = L.address_request, clock = "device", answer = "optional",
}
short[0x2A] = {
  type = "address_request", layout = L.address_request, clock = "utc", answer = "optional",
}
short[0xA7] = { type = "address_request", layout = L.address_request_4g, answer = "no" }

short[0x15] = { type = "reply", layout = L.command, answer = "no", partial = "command_length" }
short[0x80] = { type = "command", layout = L.command, answer = "no", partial = "command_length" }
short[0x81] = { type = "command", layout = L.command, answer = "no", partial = "command_length" }
short[0x82] = { type = "command", layout = L.command, answer = "no", partial = "command_length" }
short[0x8A] = {
  type = "time_request", layout = L.raw_short, answer = "recommended", empty = true,
  by = { [0x0B] = L.time }, clock = "utc",
}
short[0x94] = { type = "information", layout = L.voltage, answer = "no" }

-- Known by name, not by layout: the content goes on as hex.
for _, kind in ipairs { 0x14, 0x2D, 0x31, 0x36, 0x37, 0x38, 0x61, 0x69, 0xF1, 0xF2, 0xF3 } do
  short[kind] = { type = "raw", layout = L.raw_short, answer = "optional", empty = true }
end

long[0x21] = { type = "reply", layout = L.reply_long, answer = "no" }
-- Bike locks alone want the long start in their answers.
long[0x32] = location { layout = L.bike, clock = "utc", answer = "yes", long_answer = true }
long[0x33] = {
  type = "alarm", layout = L.bike, clock = "utc", answer = "yes", long_answer = true,
}
long[0x65] = { type = "obd", layout = L.text, answer = "no" }
long[0x66] = { type = "obd", layout = L.text, answer = "no" }
long[0x8C] = { type = "obd", layout = L.text, answer = "no" }
long[0x70] = { type = "modules", layout = L.modules, answer = "optional" }
long[0x8D] = { type = "file", layout = L.raw_long, answer = "no" }
long[0x94] = { type = "information", layout = L.information, answer = "no" }
long[0x97] = { type = "address_answer", layout = L.address_long, answer = "no" }
long[0x9B] = { type = "transparent", layout = L.transparent, answer = "no" }
long[0x9C] = { type = "transparent", layout = L.raw_long, answer = "optional" }

M.unknown_short = {
  type = "raw", layout = L.raw_short, answer = "optional", empty = true, unknown = true,
}
M.unknown_long = {
  type = "raw", layout = L.raw_long, answer = "optional", empty = true, unknown = true,
}

return M
