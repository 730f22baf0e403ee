"""What is known beforehand of published files: their md5, by collection and name.

They were written down from other people's copies and lists, so a record on Zenodo that
says otherwise is right: :mod:`asdlib.sound.download` says so, and goes by the record.
A collection or a file that is not here was not found anywhere.
"""


def _table(text: str) -> dict[str, str]:
    words = text.split()
    return dict(zip(words[::2], words[1::2], strict=True))


MD5: dict[str, dict[str, str]] = {
    "dcase2020": _table("""
        dev_data_fan.zip                649bdfc06263ae7a838963f43b6641e6
        dev_data_pump.zip               90e7091ef722b7238a7f1009365779cd
        dev_data_slider.zip             da24a757719f0d94d5aa2d646bbfdc86
        dev_data_ToyCar.zip             4dec75ca8d9f666aa9e4c1894a740501
        dev_data_ToyConveyor.zip        03b6aa1bfd09a39d53af0ba39f71fa91
        dev_data_valve.zip              34d2672f55bb041589ef79c10dc89934
        eval_data_train_fan.zip         567798854130c8019df8b664c095ed1e
        eval_data_train_pump.zip        4e33ae9c0db5cc88437675f5e317caee
        eval_data_train_slider.zip      f84f186f4295fc23754abcdd1b0580a7
        eval_data_train_ToyCar.zip      a5d4ccd498af70b04dd74b644b820006
        eval_data_train_ToyConveyor.zip 0e808ac0b761e9fb13d5e0c65caff00d
        eval_data_train_valve.zip       057cdd560caffb8305449541afd28c6d
        eval_data_test_fan.zip          1eb9356a768cadfd0f2e59a5c57e578b
        eval_data_test_pump.zip         23a8f8f924be218c69df67fe07360348
        eval_data_test_slider.zip       0193c769073840332ce3aad84b1ccaa2
        eval_data_test_ToyCar.zip       bea2bdd612f616be8f2b8eb087b32c7c
        eval_data_test_ToyConveyor.zip  ccfcc9847c7d3404d7ee9d6d9e0b2ba2
        eval_data_test_valve.zip        f69c551d2088691050d20cccca9d631c
    """),
    "dcase2023": _table("""
        dev_bearing.zip                 8a813bc8d8f156b5395bfccdfac7673c
        dev_fan.zip                     9348591e96fb0ad499a1e33b082562fc
        dev_gearbox.zip                 b6e55f6a31faa0fc8569ec0afdd53ccf
        dev_slider.zip                  b3f8dee36b4718c36d659a4fd1c4afe0
        dev_ToyCar.zip                  4e3bf15f4101ed4ed4f1fecde2e2b2a3
        dev_ToyTrain.zip                6b02a6c65eebb3b8b1ae59a6b25bb897
        dev_valve.zip                   b2051a2022eadb53cd97581120811cae
        eval_data_bandsaw_train.zip     9274dfe63de028743823f1123f8b4b47
        eval_data_grinder_train.zip     17569c1f9df23621a0dbabc430684a35
        eval_data_shaker_train.zip      35f821b5645b731fb5a1750e33b95fc3
        eval_data_ToyDrone_train.zip    7fea367d1384a1521ae24f72203238de
        eval_data_ToyNscale_train.zip   9332822f3e47afd984c01f2ecb5ca3af
        eval_data_ToyTank_train.zip     b1fd3ab7de7561290df2d477de1c9d33
        eval_data_Vacuum_train.zip      1c8de33d9a8c7850a1f7aaddb97d87be
        eval_data_bandsaw_test.zip      2a8e8f39f6584ab366a8f4da52d4d7a6
        eval_data_grinder_test.zip      631b3e1608b6077772829a6e68c82c77
        eval_data_shaker_test.zip       ba98c98caa96051ec80e24e44b8fca56
        eval_data_ToyDrone_test.zip     fdae7b8d1f4cadb2bea88bc93e2367db
        eval_data_ToyNscale_test.zip    62f5f5043d8fb3a305b1c2e1025872de
        eval_data_ToyTank_test.zip      f5639bf58c47169c622751f19c6fc321
        eval_data_Vacuum_test.zip       a32524fd8c45b574a560685b38acc4e1
    """),
    "dcase2026": _table("""
        dev_ToyCar_r2.zip                        353201db217e25377a7e7eccf9c1c8a7
        dev_bearingEmu.zip                       82c2d04c5f48d09842152c34ef273667
        eval_data_BlowerDustCollector_train.zip  e79342948772cf51e50ff601cd9621f3
        eval_data_Sander_train.zip               6cbcfbc65a09c4f3d00b9a55c50502ec
        eval_data_SewingMachine_train.zip        74d08cacba3da88753badd69d19e577b
        eval_data_ToothBrush_train.zip           6fa5f81796b5d37b3ed24bb8eff2ea25
        eval_data_ToyDrone_train.zip             af3e4040ef7c67d7ee920608d0c38d82
        eval_data_BlowerDustCollector_test.zip   ec90d56f189e84e6430fb2878c59cb84
        eval_data_Sander_test.zip                05f81c9a80e91c7b3cea15f8e8559b44
        eval_data_SewingMachine_test.zip         f0a1a96b48006c301e8cec25e9214046
        eval_data_ToothBrush_test.zip            987395506fbb48c570d5d26babcab05e
        eval_data_ToyDrone_test.zip              b36102371c188b630d201d443a00bab2
    """),
    "mimii": _table("""
        -6_dB_fan.zip     f02ae808a58d84b6815b7ec38ff30879
        -6_dB_pump.zip    d20b783a0ff9c93d58f452f98c37b112
        -6_dB_slider.zip  49913eda7d37f182cbf8ed5c984140e0
        -6_dB_valve.zip   fdfaf185fea61b21e11952a070a4ada7
        0_dB_fan.zip      6354d1cc2165c52168f9ef1bcd9c7c52
        0_dB_pump.zip     488748295c3f60b25de07b58fe75b049
        0_dB_slider.zip   4d674c21474f0646ecd75546db6c0c4e
        0_dB_valve.zip    178478eb0d11c79080a35562bfdeee71
        6_dB_fan.zip      0890f7d3c2fd8448634e69ff1d66dd47
        6_dB_pump.zip     a09ba6060c10fc09cd4c8770213b0b9f
        6_dB_slider.zip   838c2b3441858359c4704ef13a1b27ff
        6_dB_valve.zip    fe5fb7c337cd701b1d31dc641e621892
    """),
    "mimii_due": _table("""
        dev_data_fan.zip            2fd8c081d1adf559372763f204fd154f
        dev_data_gearbox.zip        16a22870056194a1da6ace2f1f5b42b5
        dev_data_pump.zip           8c7090f0974336404070315a1e1445f4
        dev_data_slider.zip         788d8942aae1f8da4e851d16946b05ab
        dev_data_valve.zip          bc456bef6bc28decc1f9e74ca11480c3
        eval_data_fan_train.zip     57afe982988072fa2c96faefd5516a73
        eval_data_gearbox_train.zip a3ce10fd1d8a7ce668dd0171ddf3d21f
        eval_data_pump_train.zip    a1fad9e61ba0d1fde48aefd02aa2c1fa
        eval_data_slider_train.zip  3b1ff6887aceb50d51f901704dc63e33
        eval_data_valve_train.zip   ddf7513b752946acd07c75ad8fce7dc4
    """),
    "mimii_dg": _table("""
        bearing.zip  6381a00f9efc0ced779c8ad847e4ff59
        fan.zip      a1a9b488934a82426bacc933d87aacde
        gearbox.zip  c165dfef8c404256bd719c6fe1f7036f
        slider.zip   8c3a5466cf53e54872fd94998a67bfac
        valve.zip    1da37b2e82942dfba720984541e2ef60
    """),
    "toyadmos": _table("""
        ToyCar.7z.001      ffef80180201d9146a708f6c63584024
        ToyCar.7z.002      3fc10f313d76218ba92e803c7226f38a
        ToyCar.7z.003      8f2e73292d44a0005184b7d94879ca01
        ToyCar.7z.004      8caabe9723eb589842bc7a197542e018
        ToyCar.7z.005      ec55f4514382dc82314fbdf8f5b2ac18
        ToyCar.7z.006      f3949e18659c79b6cf130f3b9541d0d8
        ToyCar.7z.007      9d190a0fa008ee7cdcdc61f545acca0e
        ToyCar.7z.008      ebde18535bca5ce0fe0e3a65efbfb2d5
        ToyConveyor.7z.001 8f76b5ba31985eb6c5e5f6a19b6e66c8
        ToyConveyor.7z.002 fc273f3783d77e8b2f442661ad96613f
        ToyConveyor.7z.003 eec1b5e3566a00a2365a2c01c357ca89
        ToyConveyor.7z.004 43f2a8b21a4d0e07fb0c860f9533df22
        ToyConveyor.7z.005 ec26e80f8d90879e6b6977fd114a4756
        ToyConveyor.7z.006 100225cf93fa8877596f63b0ba379f74
        ToyConveyor.7z.007 aefee98e98356be0e67a48e418431248
        ToyTrain.7z.001    b5b10b9b86ae8d9cfc7f9ed5002ebc63
        ToyTrain.7z.002    886bb09049e303c8cb5fd484dd76cd47
        ToyTrain.7z.003    e05330cba4367ed529aef1a15dc0fff6
        ToyTrain.7z.004    cd8e3e80df255d8b4bf52d6a7a6bac3b
        ToyTrain.7z.005    f2f1b229459835816a925da7795b285a
        ToyTrain.7z.006    5e41c156b71bbca57bba51bf05076c3d
        ToyTrain.7z.007    3defb3d43081161bf86c96806c9ba4b1
        ToyTrain.7z.008    ee5d2055e706291dbcf656c95784455e
        ToyTrain.7z.009    d36d21abaa745994272416b17b8bed45
    """),
}
