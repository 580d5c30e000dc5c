-- SPDX-License-Identifier: Apache-2.0
-- payload = "emqx": every message's topic and members, and every member of every block, as that
-- gateway names them. The lists stand here on their own.
local cjson = require "cjson"
local offline = require "support.offline"
local tables = dofile "spec/protocols/gbt32960/tables.lua"
local vectors = dofile "spec/protocols/gbt32960/vectors.lua"

local frame = vectors.frame
local VIN, PLATFORM, TIME = "LTEST000000009016", "TESTPLATFORM00001", vectors.TIME

local VEHICLE = "Status Charging Mode Speed Mileage Voltage Current SOC DC Gear Resistance"
local EXTREME = "MaxVoltage%s MaxVoltage%s %s MinVoltage%s MinVoltage%s %s MaxTemp%s MaxTemp%s %s"
  .. " MinTemp%s MinTemp%s %s"
local HYDROGEN = "H_MaxTemp H_TempProbeCode H_MaxConc H_ConcSensorCode H_MaxPress H_PressSensorCode"
  .. " DCStatus"
local FAULTS = "MaxAlarmLevel GeneralAlarmFlag FaultChargeableDeviceNum FaultChargeableDeviceList"
  .. " FaultDriveMotorNum FaultDriveMotorList FaultEngineNum FaultEngineList FaultOthersNum"
  .. " FaultOthersList"

-- by edition and type: name, members, and those of the items in its list
local INFOS = {
  [2016] = {
    [0x01] = { "Vehicle", VEHICLE .. " AcceleratorPedal BrakePedal" },
    [0x02] = { "DriveMotor", "Number Motors", "Motors",
      "No Status CtrlTemp Rotating Torque MotorTemp InputVoltage DCBusCurrent" },
    [0x03] = { "FuelCell", "CellVoltage CellCurrent FuelConsumption ProbeNum ProbeTemps "
      .. HYDROGEN },
    [0x04] = { "Engine", "Status CrankshaftSpeed FuelConsumption" },
    [0x05] = { "Location", "Status Longitude Latitude" },
    [0x06] = { "Extreme", EXTREME:format("BatterySubsysNo", "BatteryCode", "MaxBatteryVoltage",
      "BatterySubsysNo", "BatteryCode", "MinBatteryVoltage", "SubsysNo", "ProbeNo", "MaxTemp",
      "SubsysNo", "ProbeNo", "MinTemp") },
    [0x07] = { "Alarm", FAULTS },
    [0x08] = { "ChargeableVoltage", "Number SubSystems", "SubSystems", "ChargeableSubsysNo "
      .. "ChargeableVoltage ChargeableCurrent CellsTotal FrameCellsIndex FrameCellsCount "
      .. "CellsVoltage" },
    [0x09] = { "ChargeableTemp", "Number SubSystems", "SubSystems",
      "ChargeableSubsysNo ProbeNum ProbesTemp" },
  },
  [2025] = {
    [0x01] = { "Vehicle", VEHICLE },
    [0x02] = { "DriveMotor", "Number Motors", "Motors",
      "No Status CtrlTemp Rotating Torque MotorTemp" },
    [0x03] = { "FuelCell", HYDROGEN .. " RemainingH2 DCDCTemp" },
    [0x04] = { "Engine", "CrankshaftSpeed" },
    [0x05] = { "Location", "Status CoordinateSystem Longitude Latitude" },
    [0x06] = { "Alarm", FAULTS .. " FaultGeneralNum FaultGeneralList" },
    [0x07] = { "MinVoltageOfPowerBattery", "Number SubSystems", "SubSystems", "BatteryPackNo "
      .. "BatteryPackVoltage BatteryPackCurrent MinParallelUnitTotal MinParallelUnitVoltage" },
    [0x08] = { "TempOfPowerBattery", "Number SubSystems", "SubSystems",
      "BatteryPackNo ProbeNum ProbesTemp" },
    [0x30] = { "FuelCellStack", "Number Stacks", "Stacks", "FuelCellStackNo Voltage Current "
      .. "H2InletPressure AirInletPressure AirInletTemp StackProbeNum StackProbeTemp" },
    [0x31] = { "SuperCapacitor", "ManagerSysNo TotalVoltage TotalCurrent CellsTotal CellsVoltage "
      .. "ProbeNum ProbeTemp" },
    [0x32] = { "SuperCapacitorExtreme", EXTREME:format("ManagerSysNo", "CellCode",
      "MaxVoltageCellValue", "ManagerSysNo", "CellCode", "MinVoltageCellValue", "ManagerSysNo",
      "ProbeCode", "MaxTempValue", "ManagerSysNo", "ProbeCode", "MinTempValue") },
    [0xFF] = { "Signature", "SignatureType RLength RValue SLength SValue" },
  },
}

local function sorted(list)
  table.sort(list)
  return table.concat(list, " ")
end

local function names(text)
  local list = {}
  for name in text:gmatch "%S+" do list[#list + 1] = name end
  return sorted(list)
end

local function members(t)
  local list = {}
  for name in pairs(t) do
    if name ~= "Type" then list[#list + 1] = name end
  end
  return sorted(list)
end

--- Lines to connection 1. @return for each what was published, as topic's end and JSON
local function run(lines, first)
  local commands = { 'open {"payload":"emqx","down":"gbt32960/${device}/dnstream"}',
    "connect 192.0.2.1:5000", "feed 1 " .. (first or vectors.login("##", VIN)) }
  for i, line in ipairs(lines) do
    commands[i + 3] = line:find "^%x+$" and "feed 1 " .. line or line
  end
  local events, out = offline.run(vectors.path, commands), {}
  for i = 0, #lines do
    local e = offline.of(events[i + 3], "publish")[1]
    out[i] = e and { topic = e.topic:match "^gbt32960/[^/]+/(.*)$", qos = e.qos,
      json = cjson.decode(e.payload) } or {}
  end
  return out
end

--- A block of a type: the least of each field, ones where there is none.
local function block(code, text)
  local parts = { string.char(code) }
  local width = { B = ">I1", W = ">I2", D = ">I4" }
  for line in text:gmatch "[^\n]+" do
    local name, kind, least = line:match "^(%S+) (%S+) ?%S* ?%S* ?(%S*)"
    parts[#parts + 1] = name == "=" and vectors.unhex(kind)
      or string.pack(width[kind], tonumber(least) or 1)
  end
  return table.concat(parts)
end

describe("gbt32960 in EMQX's shape", function()
  for edition, infos in pairs(INFOS) do
    it(("has the names of its blocks of %d"):format(edition), function()
      local start = edition == 2016 and "##" or "$$"
      local texts, codes, lines = {}, {}, {}
      for _, one in ipairs(tables.BLOCKS[edition]) do texts[one[1]] = block(one[1], one[3]) end
      texts[0xFF] = "\xFF\2" .. string.pack(">s2s2", "\1\2", "\3")
      for code in pairs(infos) do
        codes[#codes + 1] = code
        lines[#lines + 1] = frame(start, 2, 0xFE, VIN, TIME .. texts[code])
      end
      for i, got in ipairs(run(lines)) do
        local want = infos[codes[i]]
        local info = got.json.Data.Infos[1]
        assert.equal("upstream/info", got.topic)
        assert.equal(1, got.qos)
        assert.equal(1, #got.json.Data.Infos)
        assert.equal(want[1], info.Type)
        assert.equal(names(want[2]), members(info))
        if want[3] then assert.equal(names(want[4]), members(info[want[3]][1])) end
      end
    end)
  end

  it("has its topics and members of every message", function()
    local chip = TIME .. "CHIP000000000001" .. string.pack(">s2", "KEY") .. VIN .. "\2"
      .. string.pack(">s2s2", "\1\2", "")
    local got = run {
      frame("##", 2, 0xFE, VIN, TIME .. "\4\1\0\1\0\2"), frame("##", 3, 0xFE, VIN, TIME),
      frame("##", 7, 0xFE, VIN, ""), frame("##", 8, 0xFE, VIN, ""),
      frame("##", 0xC0, 0xFE, VIN, "\1\2"), frame("##", 2, 1, VIN, TIME),
      frame("##", 0x80, 1, VIN, TIME .. "\2\1\0\5\9\7"), frame("##", 0x81, 1, VIN, TIME),
      frame("##", 0x82, 1, VIN, TIME .. "\6\2hi"), frame("##", 0x82, 1, VIN, TIME .. "\3"),
      frame("$$", 1, 0xFE, VIN, TIME .. "\0\2" .. "89860000000000009016\1\2"
        .. ("A"):rep(24) .. ("B"):rep(24)),
      frame("$$", 9, 0xFE, VIN, chip), frame("##", 4, 0xFE, VIN, TIME .. "\0\2"),
    }
    local want = {
      [0] = { "upstream/vlogin", "ICCID Id Length Num Seq Time" },
      { "upstream/info", "Infos Time" }, { "upstream/reinfo", "Infos Time" }, {}, {},
      { "upstream/transparent", "Raw" }, { "upstream/response", "Time" },
      { "upstream/response", "Params Time Total" }, { "upstream/response", "Time" },
      { "upstream/response", "Command Param Time" }, { "upstream/response", "Command Param Time" },
      { "upstream/vlogin", "BatteryPackCounts BatteryPackEncodings BmsNum ICCID Seq Time" },
      { "upstream/activation", "ChipID PubKey PubKeyLen Signature Time VIN" },
      { "upstream/vlogout", "Seq Time" },
    }
    for i = 0, #want do
      assert.equal(want[i][1], got[i].topic, i)
      if want[i][1] then
        assert.equal("Cmd Data Encrypt Vin", members(got[i].json))
        assert.equal(want[i][2], members(got[i].json.Data), i)
      end
    end
    assert.same({ { ["0x01"] = 5 }, { ["0x09"] = 7 } }, got[7].json.Data.Params)
    assert.same({ Level = 2, Message = "hi" }, got[9].json.Data.Param)
    assert.equal("", got[10].json.Data.Param)
    assert.same({ 2 }, got[11].json.Data.BatteryPackCounts)
    assert.same({ { ("A"):rep(24), ("B"):rep(24) } }, got[11].json.Data.BatteryPackEncodings)
    assert.same({ SignatureType = 2, RLength = 2, RValue = "0102", SLength = 0, SValue = "" },
      got[12].json.Data.Signature)
  end)

  it("has those of platforms, without their password", function()
    local got = run({ frame("##", 6, 0xFE, PLATFORM, TIME .. "\0\1") }, frame("##", 5, 0xFE,
      PLATFORM, TIME .. "\0\1operator\0\0\0\0secret" .. ("\0"):rep(14) .. "\1"))
    assert.equal("upstream/plogin", got[0].topic)
    assert.equal("Encrypt Seq Time Username", members(got[0].json.Data))
    assert.equal("operator\0\0\0\0", got[0].json.Data.Username)
    assert.equal("upstream/plogout", got[1].topic)
    assert.equal("Seq Time", members(got[1].json.Data))
  end)
end)
