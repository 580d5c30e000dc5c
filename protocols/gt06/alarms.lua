-- SPDX-License-Identifier: Apache-2.0
-- Alarm codes and their names. From 0x18 up makers differ, so a model may bring its own; the
-- code is always published beside the name.
local M = {}

M.names = {
  [0x00] = "normal", [0x01] = "sos", [0x02] = "power_cut", [0x03] = "vibration",
  [0x04] = "fence_enter", [0x05] = "fence_exit", [0x06] = "overspeed", [0x09] = "moved",
  [0x0A] = "blind_area_enter", [0x0B] = "blind_area_exit", [0x0C] = "power_on",
  [0x0D] = "first_fix", [0x0E] = "external_battery_low", [0x0F] = "external_battery_protection",
  [0x10] = "sim_changed", [0x11] = "power_off", [0x12] = "airplane_mode", [0x13] = "tamper",
  [0x14] = "door", [0x15] = "shutdown_low_battery", [0x16] = "sound",
  [0x17] = "fake_base_station", [0x18] = "cover_opened", [0x19] = "internal_battery_low",
  [0x20] = "sleep", [0x23] = "fall", [0x24] = "charger_inserted", [0x29] = "harsh_acceleration",
  [0x2A] = "sharp_left_turn", [0x2B] = "sharp_right_turn", [0x2C] = "collision",
  [0x2D] = "rollover", [0x30] = "harsh_braking", [0x32] = "pulled", [0x3C] = "theft",
  [0x3D] = "illegal_start", [0x3E] = "button", [0x4B] = "tilt", [0x4C] = "sharp_turn",
  [0x4D] = "lane_change", [0x4E] = "stability", [0x4F] = "angle", [0x5E] = "pulse_wire_cut",
  [0xFE] = "acc_on", [0xFF] = "acc_off",
}

--- The name of a code, by the config's own table first.
---@param code integer
---@param own table? { ["0x28"] = "braking" }
---@return string
function M.name(code, own)
  local name = own and (own[("0x%02x"):format(code)] or own[("0x%02X"):format(code)])
  return name or M.names[code] or ("alarm_0x%02x"):format(code)
end

--- One event per frame: the alarm byte, or where it is silent the bits of the terminal info.
function M.event(data)
  if data.alarm_code and data.alarm_code ~= 0 then return data.alarm end
  local bits = data.terminal_alarm
  return bits ~= "normal" and bits or "normal"
end

return M
