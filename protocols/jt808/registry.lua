-- SPDX-License-Identifier: Apache-2.0
-- Every message of the protocol: id, name, direction, layouts by edition. `edition` tells the
-- edition from the body, `read` and `write` turn a record into what is shown and back. `reply`
-- is what a message up is answered with: nothing for answers, 0x8001 where it is missing.
-- `answer` is what a command down waits for beside 0x0001.
local areas = require "areas"
local av = require "av1078"
local body = require "body"
local general = require "general"
local location = require "location"
local media = require "media"
local params = require "params"
local record = require "record"
local subiao = require "subiao"
local text = require "text"
local vendor = require "vendor"

local M = {}

local function up(id, name, layout, more)
  local e = more or {}
  e.id, e.name, e.dir, e.layout = id, name, "up", layout
  M[id] = e
end

local function down(id, name, layout, answer, more)
  local e = more or {}
  e.id, e.name, e.dir, e.layout, e.answer = id, name, "down", layout, answer
  M[id] = e
end

local NONE = { reply = false }
local function none(more)
  local e = { reply = false }
  for key, value in pairs(more or NONE) do e[key] = value end
  return e
end

local resend = {
  ["2011"] = general.resend_byte["2011"], ["2013"] = general.resend_byte["2011"],
  ["2019"] = general.resend_word["2011"],
  byte = general.resend_byte["2011"], word = general.resend_word["2011"],
}
local ANSWER = { read = general.read_answer, write = general.write_answer }
local PARAMS = { read = params.read, write = params.write }
local RECORD = { read = record.read_record, write = record.write_record }
local AREA = { read = areas.read, write = areas.write }

local function with(base, more)
  local e = {}
  for key, value in pairs(base) do e[key] = value end
  for key, value in pairs(more or {}) do e[key] = value end
  return e
end

up(0x0001, "terminal_answer", general.answer, none(ANSWER))
up(0x0002, "heartbeat", body.empty)
up(0x0003, "logout", body.empty)
up(0x0004, "time_request", body.empty, { reply = 0x8004 })
up(0x0005, "resend_request", resend, { edition = general.resend_layouts, reply = false })
up(0x0100, "register", general.register, { edition = general.register_edition, reply = 0x8100 })
up(0x0102, "auth", general.auth, { edition = general.auth_edition })
up(0x0104, "parameters", params.answer, none(PARAMS))
up(0x0107, "attributes", general.attributes, none { edition = general.attributes_edition })
up(0x0108, "upgrade_result", general.upgraded)
up(0x0200, "location", location.around("", "", true))
up(0x0201, "location_answer",
  location.around("reply_serial:u16be location:{", "}", true), none())
up(0x0205, "satellites", vendor.satellites, { edition = vendor.satellites_edition })
up(0x0301, "event", text.event)
up(0x0302, "question_answer", text.answered, none())
up(0x0303, "info_subscription", text.subscription)
up(0x0500, "vehicle_control_answer",
  location.around("reply_serial:u16be location:{", "}", true), none())
up(0x0608, "areas", areas.answer, none { read = areas.read_answer })
up(0x0700, "driving_record", record.upload, none { read = record.read_record })
up(0x0701, "waybill", record.waybill)
up(0x0702, "driver", record.driver,
  { edition = record.driver_edition, read = record.read_driver,
    write = record.write_driver })
up(0x0704, "location_batch",
  location.around("count:u16be type:u8 items:[*]sized[u16be]{", "}", true))
up(0x0705, "can", record.can)
up(0x0800, "media_event", media.event)
up(0x0801, "media", media.data, { edition = media.data_edition, reply = 0x8800 })
up(0x0802, "media_list", media.found, none { edition = media.found_edition })
up(0x0805, "shot", media.shot, none())
up(0x0900, "transparent", media.transparent, { read = subiao.read_transparent })
up(0x0901, "compressed", media.compressed, { read = media.read_compressed })
up(0x0A00, "terminal_key", general.key, { reply = 0x8A00 })
up(0x1003, "av_attributes", av.attributes, none())
up(0x1005, "passengers", av.passengers)
up(0x1205, "av_resources", av.list, none())
up(0x1206, "av_uploaded", av.uploaded)
up(0x1210, "attachments", subiao.info, { edition = subiao.info_edition })
up(0x1211, "attachment", subiao.file)
up(0x1212, "attachment_done", subiao.file_done, { reply = 0x9212 })
up(0x1FC4, "upgrade_progress", subiao.progress)

down(0x8001, "platform_answer", general.answer, false, with(ANSWER))
down(0x8003, "request_packets", resend, false, { edition = general.resend_layouts })
down(0x8004, "server_time", general.time, false)
down(0x8100, "register_answer", general.registered, false)
down(0x8103, "set_parameters", params.set, nil, with(PARAMS))
down(0x8104, "query_parameters", body.empty, 0x0104)
down(0x8105, "terminal_control", general.control, nil,
  { read = general.read_control, write = general.write_control, risky = true })
down(0x8106, "query_some_parameters", params.query, 0x0104,
  { read = params.read_query, write = params.write_query })
down(0x8107, "query_attributes", body.empty, 0x0107)
down(0x8108, "upgrade", general.upgrade, nil, { edition = general.upgrade_edition, risky = true })
down(0x8201, "query_location", body.empty, 0x0201)
down(0x8202, "track", body.same 'interval:u16be "s" validity?:u32be "s"')
down(0x8203, "confirm_alarm", body.split(
  "alarm_serial:u16be alarm_types:u32be set{" .. location.alarms["2013"] .. "}!raw",
  "alarm_serial:u16be alarm_types:u32be set{" .. location.alarms["2019"] .. "}!raw"))
down(0x8204, "check_link", body.empty)
down(0x8300, "text", text.text)
down(0x8301, "set_events", text.events)
down(0x8302, "question", text.question, 0x0302)
down(0x8303, "set_menu", text.menu)
down(0x8304, "information", text.information)
down(0x8400, "call", text.call)
down(0x8401, "set_phonebook", text.phonebook)
down(0x8500, "vehicle_control", areas.control, 0x0500, { risky = true, early = true })
down(0x8600, "set_circles", areas.circles, nil, with(AREA))
down(0x8601, "delete_circles", areas.delete_areas)
down(0x8602, "set_rectangles", areas.rectangles, nil, with(AREA))
down(0x8603, "delete_rectangles", areas.delete_areas)
down(0x8604, "set_polygon", areas.polygon, nil, with(AREA))
down(0x8605, "delete_polygons", areas.delete_areas)
down(0x8606, "set_route", areas.route, nil, with(AREA))
down(0x8607, "delete_routes", areas.delete_routes)
down(0x8608, "query_areas", areas.query, 0x0608)
down(0x8700, "collect_record", record.collect, 0x0700, with(RECORD))
down(0x8701, "set_record", record.collect, nil, with(RECORD))
down(0x8702, "query_driver", body.empty, 0x0702)
down(0x8800, "media_answer", media.answer, false)
down(0x8801, "shoot", media.shoot, 0x0805, { early = true })
down(0x8802, "search_media", media.search, 0x0802)
down(0x8803, "upload_media", media.upload)
down(0x8804, "record_audio", media.record)
down(0x8805, "upload_one_media", media.upload_one)
down(0x8900, "send_transparent", media.transparent)
down(0x8A00, "platform_key", general.key, 0x0A00)
down(0x9003, "query_av_attributes", body.empty, 0x1003)
down(0x9101, "live_video", av.live)
down(0x9102, "control_live_video", av.live_control)
down(0x9105, "live_video_status", av.live_status, false)
down(0x9201, "playback", av.playback, 0x1205, { early = true })
down(0x9202, "control_playback", av.playback_control)
down(0x9205, "query_av_resources", av.query, 0x1205)
down(0x9206, "upload_av_file", av.upload, 0x1206, { early = true })
down(0x9207, "control_upload", av.upload_control)
down(0x9208, "upload_attachments", subiao.request, nil,
  { edition = subiao.request_edition, choose = subiao.choose })
down(0x9212, "attachment_answer", subiao.file_answer, false)
down(0x9301, "rotate_camera", av.rotate)
down(0x9302, "focus_camera", av.lens)
down(0x9303, "iris_camera", av.lens)
down(0x9304, "wiper_camera", av.switch)
down(0x9305, "infrared_camera", av.switch)
down(0x9306, "zoom_camera", av.lens)

up(0x0109, "vendor_time_request", vendor.heartbeat, { reply = 0x8109, may_be_empty = true })
up(0x0506, "vendor_heartbeat", vendor.heartbeat, { may_be_empty = true })
up(0x1007, "vendor_time_zone", vendor.zone)
up(0x1300, "vendor_text_answer", vendor.text_answer, none())
up(0x6006, "vendor_text", vendor.text)
down(0x8109, "vendor_time", vendor.time, false)

-- What is not known goes on as hex: vendors' own messages, and those of later texts.
local RAW = body.same "data:hex[*]"
M.unknown_up = { name = "vendor", dir = "up", layout = RAW, unknown = true, may_be_empty = true }
M.unknown_down = {
  name = "vendor_down", dir = "down", layout = RAW, unknown = true, may_be_empty = true,
}

function M.entry(id)
  return M[id] or (id >= 0x8000 and id < 0xE000 or id >= 0xF000) and M.unknown_down
    or M.unknown_up
end

return M
