-- SPDX-License-Identifier: Apache-2.0
-- Extra items as vendors have them, one table for each family of devices. A table replaces
-- single items of the standard's list and adds others; what no table names stays hex under its
-- number. One id has many meanings, so a table is chosen for a device or its model, never
-- guessed: the options `vendor`, `vendors` and `models`.

-- Lists that several families share.
local WIFI = "[*]{ mac:hex[6] rssi_dbm:i8 \"dBm\" }"
local TENTHS = "[*]u16be( magnitude_c:15*0.1 ?0x7FFF below_zero:flag )"

return {
  -- GPS51's published dialect.
  gps51 = [[
    0x2B voltages:[*]u16be
    0x51 temperatures:]] .. TENTHS .. [[

    0x52 rotation:u8{1=forward 2=reverse 3=stop}!raw
    0x54 wifi:{ points:[u8]{ mac:hex[6] rssi:u8 } }
    0x55 load_kg:u32be*0.1 "kg"
    0x58 humidity_pct:u16be*0.1 "%"
    0x61 supply_v:u16be*0.01 "V"
    0xE1 cells:hex[*]
    0xE2 firmware:gbk[*]
    0xF1 iccid:ascii[*]
    0xF6 imei:bcd[8]
    0xFA vendor_alarms:hex[*]
    0xFB battery:{ percent:u8 external_v:u16be*0.01 "V" charging:u8 }
  ]],
  -- Fuel with a top bit that makes it a percentage.
  fuel_percent = "0x02 fuel_pct:u16be(percent:15 _:1)",
  battery = [[
    0x06 battery_pct:u8 "%"
    0x56 battery:{ percent:u8*10 "%" state:u8 }
    0x61 supply_v:u16be*0.01 "V"
    0x68 battery_level_pct:u16be*0.01 "%"
    0x69 battery_v:u16be*0.01 "V"
    0xD4 charge_pct:u8?0xFF=charging "%"
  ]],
  supply = [[
    0x2B voltages_v:[*]u16be*0.01
    0x82 supply_v:u16be*0.1 "V"
    0xA7 inputs_v:[*]u16be*0.01
    0xD3 battery_v:u16be*0.1 "V"
    0xE1 external_v:u16be*0.1 "V"
    0xF1 supply_mv:u32be "mV"
  ]],
  obd = [[
    0x57 driving:{ alarms:u16be inputs:u16be state:hex[4] }
    0x80 obd:tlv(u8 u8){ 0x00 version:hex[*] }
    0x91 obd_record:hex[*]
    0x94 vin:ascii[*]
    0xAC odometer_m:u32be "m"
    0xBC driver_name:gbk[*]
    0xBD driver_id:ascii[*]
    0xE6 obd_text:ascii[*]!keep
    0xE9 driver_code:hex[4]
    0xED card:ascii[*]
    0xF3 obd_list:tlv(u16be u8){ 0x0000 version:hex[*] }
  ]],
  lock = [[
    0x0B lock_event:{ command:u8 result:u8 card:hex[4] }
    0x33 lock_text:ascii[*]
    0x60 lock_status:{ event:u16be data:hex[*] }
    0x63 sub_locks:[*]hex[11]
    0xD0 user_status:u32be
    0xD5 locks:hex[*]
    0xDA strap:u8
    0xE8 lock_state:hex[3]
  ]],
  -- Faults that Guangdong's text adds; their bits are the vendor's.
  guangdong = [[
    0xF1 installation_faults:u32be
    0xF2 algorithm_faults:u32be
  ]],
  tpms = [[
    0x77 tyres:[*]{ index:u8 sensor:hex[3] pressure:u16be temperature_c:u8-50 "C" status:u8 }
  ]],
  tracker = [[
    0xE1 cells:hex[*]
    0xE2 fuel_tank_l:u32be*0.1 "l"
    0xE3 battery:hex[*]
    0xE4 charge:{ charging:bool percent:u8 "%" }
    0xE5 motion:u8
    0xE7 vendor_alarms:hex[*]
    0xEC wifi:]] .. WIFI .. [[

    0xF4 wifi_points:]] .. WIFI .. [[
  ]],
  radio = [[
    0x51 temperatures:]] .. TENTHS .. [[

    0x5D cells:hex[*]
    0xF0 more_cells:hex[*]
    0xF1 supply_mv:u32be "mV"
    0xF2 firmware:ascii[*]
    0xF3 obd_list:tlv(u16be u8){ 0x0000 version:hex[*] }
    0xF4 wifi:]] .. WIFI .. [[
  ]],
  sensors = [[
    0xE6 thermometers:[*]hex[11]
    0xEA sensors:tlv(u8 u8){ 0x00 version:hex[*] }
    0xEE radio:{ rssi:u8 supply:hex[4] battery:u8 satellites:u8 rest?:hex[*] }
  ]],
  cells_eb = "0xEB cells:{ mcc:u16be mnc:u8 neighbours:[*]{ lac:u16be cell_id:u16be rssi:u8 } }",
  list_eb = "0xEB items:tlv(u16be u16be length_first counts_tag){" .. [[
      0x0001 fuel:hex[*] 0x0023 fuel_text:hex[*] 0x002D power_mv:u16be "mV"
      0x0089 alarms_low_89:hex[*] 0x00C5 alarms_low_c5:hex[*] 0x00A8 battery_pct:u8 "%"
      0x00B2 iccid:hex[10] 0x00B9 wifi:ascii[*] 0x00CE supply_v:u16be*0.01 "V"
      0x00D8 cell:{ mcc:u16be mnc:u8 lac:u16be cell_id:u32be } 0x00E1 charge_pct:u8 "%" } ]],
}
